"""The shop's tables and questions to them, on SQLite or PostgreSQL.

Here: every SQL statement. Never here: HTTP, prices after discount, caching.
"""

from dataclasses import dataclass

from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CUSTOMERS = 100
PRODUCTS = 40
_TIERS = ("bronze", "bronze", "bronze", "silver", "silver", "silver", "gold")

metadata = MetaData()
products = Table(
    "products",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False),
    Column("cents", Integer, nullable=False),
)
customers = Table(
    "customers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tier", String(10)),  # NULL: never joined the loyalty programme
)
cart_lines = Table(
    "cart_lines",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False, index=True),
    Column("product_id", ForeignKey("products.id"), nullable=False),
)
orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column("cents", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Product:
    """Something for sale; `cents` is the price before any discount."""

    id: int
    name: str
    cents: int


@dataclass(frozen=True, slots=True)
class Customer:
    """Who buys; `tier` is None for those who never joined the loyalty programme (three in ten)."""

    id: int
    tier: str | None


def _tier_of(number: int) -> str | None:
    place = number % 10
    return _TIERS[place - 3] if place >= 3 else None  # noqa: PLR2004 - three of ten customers have no tier


class Store:
    """The shop's database. Every method is one short transaction."""

    def __init__(self, url: str) -> None:
        """Open nothing yet; `url` is an SQLAlchemy URL with an async driver."""
        self.engine: AsyncEngine = create_async_engine(url, pool_pre_ping=not url.startswith("sqlite"))

    async def prepare(self) -> None:
        """Create tables and goods where they are missing."""
        async with self.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        try:
            async with self.engine.begin() as connection:
                if await connection.scalar(select(func.count()).select_from(products)):
                    return
                goods = [{"id": n, "name": f"Lamp No. {n}", "cents": 990 + 370 * n} for n in range(1, PRODUCTS + 1)]
                people = [{"id": n, "tier": _tier_of(n)} for n in range(1, CUSTOMERS + 1)]
                await connection.execute(insert(products), goods)
                await connection.execute(insert(customers), people)
        except IntegrityError:
            return  # another process of the shop filled the tables first

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    async def answers(self) -> bool:
        """Return true when the database answers; raises what the driver raises when it does not."""
        async with self.engine.connect() as connection:
            return await connection.scalar(select(1)) == 1

    async def products(self) -> list[Product]:
        """Return everything for sale, by number."""
        async with self.engine.connect() as connection:
            rows = await connection.execute(select(products).order_by(products.c.id))
            return [Product(row.id, row.name, row.cents) for row in rows]

    async def product(self, number: int) -> Product | None:
        """Return one product, or None."""
        async with self.engine.connect() as connection:
            row = (await connection.execute(select(products).where(products.c.id == number))).one_or_none()
            return Product(row.id, row.name, row.cents) if row else None

    async def customer(self, number: int) -> Customer | None:
        """Return one customer, or None."""
        async with self.engine.connect() as connection:
            row = (await connection.execute(select(customers).where(customers.c.id == number))).one_or_none()
            return Customer(row.id, row.tier) if row else None

    async def cart(self, customer: Customer) -> list[Product]:
        """Return what lies in the customer's cart."""
        wanted = select(products).join(cart_lines, cart_lines.c.product_id == products.c.id)
        async with self.engine.connect() as connection:
            rows = await connection.execute(wanted.where(cart_lines.c.customer_id == customer.id))
            return [Product(row.id, row.name, row.cents) for row in rows]

    async def put(self, customer: Customer, product: Product) -> None:
        """Lay a product into the customer's cart."""
        async with self.engine.begin() as connection:
            await connection.execute(insert(cart_lines).values(customer_id=customer.id, product_id=product.id))

    async def order(self, customer: Customer, cents: int) -> int:
        """Write an order, empty the cart, and return the order's number."""
        async with self.engine.begin() as connection:
            written = await connection.execute(insert(orders).values(customer_id=customer.id, cents=cents))
            await connection.execute(delete(cart_lines).where(cart_lines.c.customer_id == customer.id))
            key = written.inserted_primary_key
            return int(key[0]) if key else 0

    async def totals(self) -> dict[str, int]:
        """Return how many orders and cart lines there are, and the turnover in cents."""
        async with self.engine.connect() as connection:
            count = await connection.scalar(select(func.count()).select_from(orders))
            turnover = await connection.scalar(select(func.coalesce(func.sum(orders.c.cents), 0)))
            lines = await connection.scalar(select(func.count()).select_from(cart_lines))
            return {"orders": count or 0, "turnover_cents": turnover or 0, "cart_lines": lines or 0}
