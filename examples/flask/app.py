"""A cart: a Flask application with the exporter around it."""

from flask import Flask

from rearguard_exporter import Monitor

app = Flask(__name__)


@app.get("/")
def cart() -> dict[str, list[str]]:
    """What lies in the cart."""
    return {"items": ["tea", "milk"]}


@app.get("/items/<name>")
def item(name: str) -> dict[str, object]:
    """One item; of coffee the application knows no price, and fails."""
    return {"name": name, "price": {"tea": 3, "milk": 1}[name]}


monitor = Monitor(service="cart", version="2026-11-30", environment="production")
app.wsgi_app = monitor.instrument_wsgi(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documents do it
