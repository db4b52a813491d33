"""A small real shop: products, carts, orders, a price feed and a cache, measured with `rearguard_exporter`.

Here: what is the same in every release. A price is made by the release itself (`releases/VERSION/pricing.py`).
Never here: a switch that fakes a fault; a release that fails does so by its own bug.
"""
