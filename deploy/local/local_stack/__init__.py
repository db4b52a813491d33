"""The whole loop on this machine: shop, proxy, Prometheus, Alertmanager and the controller.

Here: what starts, feeds and stops real parts, for `make demo` and for the end-to-end tests.
Never here: anything the product needs to run elsewhere; nothing imports this package but tests and the demo.
"""
