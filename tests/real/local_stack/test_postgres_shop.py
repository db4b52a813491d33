"""The shop on PostgreSQL: the same stack, the database by its URL."""

import asyncio

import requests

from local_stack.process import wait_until
from local_stack.stack import Stack
from real import postgres

CUSTOMER = {"customer": "1"}


def test_the_shop_serves_and_is_measured_on_postgresql(tmp_path):
    with postgres.running() as server:
        url = asyncio.run(server.database()).replace("postgresql://", "postgresql+asyncpg://")
        with Stack(tmp_path / "stack", database=url) as stack:
            stack.start(without=[stack.prometheus, stack.alertmanager, stack.controller])
            products = requests.get(f"{stack.layout.proxy}/products", params=CUSTOMER, timeout=30)
            assert products.status_code == 200, products.text
            assert products.json()["products"]

            def measured() -> bool:
                text = requests.get(f"{stack.layout.shop}/metrics", timeout=30).text
                return 'db_system_name="postgresql"' in text and "db_up{" in text

            wait_until(measured, within=20, what="operations on PostgreSQL are measured")
