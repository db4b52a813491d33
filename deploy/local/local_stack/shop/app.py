"""The shop's routes.

Here: HTTP in and out, and the cache of priced products. Never here: SQL, discounts, processes.
A customer is named by the query parameter `customer`; there is no login, this is a shop for the demo.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakSet

from aiohttp import WSCloseCode, WSMsgType, web

from local_stack.shop.release import Release
from local_stack.shop.store import Customer, Product, Store

_CACHE_SECONDS = 30.0
_FEED_SECONDS = 1.0
_FEATURED = 3

routes = web.RouteTableDef()


@dataclass(slots=True)
class Shop:
    """Everything a handler needs. `cached` maps a product's number to the product and when it was read."""

    store: Store
    release: Release
    snapshots: Path
    cached: dict[int, tuple[Product, float]] = field(default_factory=dict)
    hits: int = 0
    misses: int = 0
    sockets: WeakSet[web.WebSocketResponse] = field(default_factory=WeakSet)

    async def product(self, number: int) -> Product:
        """Return a product, from the cache while it is fresh; raises a 404 answer."""
        known = self.cached.get(number)
        if known and time.monotonic() - known[1] < _CACHE_SECONDS:
            self.hits += 1
            return known[0]
        self.misses += 1
        product = await self.store.product(number)
        if product is None:
            raise web.HTTPNotFound(text=f"no product {number}")
        self.cached[number] = (product, time.monotonic())
        return product

    def priced(self, products: list[Product], customer: Customer) -> list[dict[str, object]]:
        """Return the products as the customer sees them, by the release's own prices."""
        price = self.release.price
        return [{"id": p.id, "name": p.name, "cents": price(p.cents, customer.tier)} for p in products]


SHOP = web.AppKey("shop", Shop)


def build(store: Store, release: Release, snapshots: Path) -> web.Application:
    """Return the application; the caller instruments and runs it."""
    app = web.Application()
    app[SHOP] = Shop(store, release, snapshots)
    app.add_routes(routes)
    app.on_shutdown.append(_say_goodbye)
    return app


async def _say_goodbye(app: web.Application) -> None:
    for socket in list(app[SHOP].sockets):
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the shop restarts")


async def _customer(request: web.Request) -> Customer:
    word = request.query.get("customer", "1")
    customer = await request.app[SHOP].store.customer(int(word)) if word.isascii() and word.isdecimal() else None
    if customer is None:
        raise web.HTTPBadRequest(text="customer must be the number of a customer")
    return customer


def _number(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 10):  # noqa: PLR2004 - fits a database integer
        raise web.HTTPNotFound(text="no such product")
    return int(word)


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    """Greet, with the featured products."""
    shop, customer = request.app[SHOP], await _customer(request)
    featured = [await shop.product(number) for number in range(1, _FEATURED + 1)]
    return web.json_response({"version": shop.release.version, "featured": shop.priced(featured, customer)})


@routes.get("/products")
async def list_products(request: web.Request) -> web.Response:
    """Everything for sale."""
    shop, customer = request.app[SHOP], await _customer(request)
    return web.json_response({"products": shop.priced(await shop.store.products(), customer)})


@routes.get("/products/{id}")
async def one_product(request: web.Request) -> web.Response:
    """One product."""
    shop, customer = request.app[SHOP], await _customer(request)
    product = await shop.product(_number(request.match_info["id"]))
    return web.json_response(shop.priced([product], customer)[0])


@routes.get("/cart")
async def show_cart(request: web.Request) -> web.Response:
    """What lies in the cart, and what it costs."""
    shop, customer = request.app[SHOP], await _customer(request)
    lines = shop.priced(await shop.store.cart(customer), customer)
    total = shop.release.price(0, customer.tier) + sum(int(str(line["cents"])) for line in lines)
    return web.json_response({"lines": lines, "cents": total})


@routes.post("/cart")
async def fill_cart(request: web.Request) -> web.Response:
    """Lay the product named by the query parameter `product` into the cart."""
    shop, customer = request.app[SHOP], await _customer(request)
    product = await shop.product(_number(request.query.get("product", "")))
    line = shop.priced([product], customer)[0]
    await shop.store.put(customer, product)
    return web.json_response(line, status=201)


@routes.post("/checkout")
async def checkout(request: web.Request) -> web.Response:
    """Write an order for what lies in the cart."""
    shop, customer = request.app[SHOP], await _customer(request)
    goods = await shop.store.cart(customer)
    cents = sum(shop.release.price(product.cents, customer.tier) for product in goods)
    number = await shop.store.order(customer, cents)
    return web.json_response({"order": number, "cents": cents}, status=201)


@routes.get("/ws/prices")
async def price_feed(request: web.Request) -> web.WebSocketResponse:
    """Send a price every second until either side closes."""
    shop = request.app[SHOP]
    socket = web.WebSocketResponse(heartbeat=20)
    await socket.prepare(request)
    shop.sockets.add(socket)
    goods = await shop.store.products()
    turn = 0
    while not socket.closed:
        product = goods[turn % len(goods)]
        await socket.send_json({"id": product.id, "cents": product.cents})
        turn += 1
        try:
            message = await socket.receive(timeout=_FEED_SECONDS)
        except asyncio.TimeoutError:  # noqa: UP041 - on 3.11 they are the same, the library's own name is clearer
            continue
        if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
            break
    return socket


@routes.post("/admin/snapshot")
async def save_snapshot(request: web.Request) -> web.Response:
    """Save the shop's totals to a file; answers with its name."""
    shop = request.app[SHOP]
    state = await shop.store.totals() | {"version": shop.release.version, "at": time.time()}
    shop.snapshots.mkdir(parents=True, exist_ok=True)
    file = shop.snapshots / f"snapshot-{time.time_ns()}.json"
    await asyncio.to_thread(file.write_text, json.dumps(state), encoding="utf-8")
    return web.json_response({"saved": file.name}, status=201)


@routes.post("/admin/cache/clear")
async def clear_cache(request: web.Request) -> web.Response:
    """Forget every cached product; answers how many there were."""
    shop = request.app[SHOP]
    forgotten = len(shop.cached)
    shop.cached.clear()
    return web.json_response({"forgotten": forgotten, "hits": shop.hits, "misses": shop.misses})
