"""The shop itself: it sells, caches, saves its state, and is measured."""

import json

import pytest
import requests

from local_stack.stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        stack.release("deploy", "v1")
        yield stack


def test_an_order_holds_what_lay_in_the_cart(stack):
    shop = stack.layout.shop
    for product in (3, 4):
        assert requests.post(f"{shop}/cart?customer=7&product={product}", timeout=30).status_code == 201
    cart = requests.get(f"{shop}/cart?customer=7", timeout=30).json()
    assert [line["id"] for line in cart["lines"]] == [3, 4]
    order = requests.post(f"{shop}/checkout?customer=7", timeout=30).json()
    assert order["cents"] == cart["cents"] == (990 + 3 * 370) + (990 + 4 * 370)
    assert requests.get(f"{shop}/cart?customer=7", timeout=30).json() == {"lines": [], "cents": 0}


def test_a_snapshot_holds_the_totals(stack):
    before = requests.post(f"{stack.layout.shop}/admin/snapshot", timeout=30).json()["saved"]
    requests.post(f"{stack.layout.shop}/checkout?customer=9", timeout=30)
    after = requests.post(f"{stack.layout.shop}/admin/snapshot", timeout=30).json()["saved"]
    first, second = (
        json.loads((stack.layout.folder / "run/snapshots" / name).read_text()) for name in (before, after)
    )
    assert second["orders"] == first["orders"] + 1
    assert second["version"] == "v1"


def test_the_cache_is_used_and_can_be_cleared(stack):
    shop = stack.layout.shop
    requests.post(f"{shop}/admin/cache/clear", timeout=30)
    before = requests.post(f"{shop}/admin/cache/clear", timeout=30).json()
    assert before["forgotten"] == 0
    for _ in range(3):
        requests.get(f"{shop}/products/11", timeout=30)
    after = requests.post(f"{shop}/admin/cache/clear", timeout=30).json()
    assert (after["forgotten"], after["hits"] - before["hits"], after["misses"] - before["misses"]) == (1, 2, 1)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/products/999", 404),
        ("/products/x", 404),
        ("/products/99999999999999999999", 404),
        ("/?customer=0", 400),
        ("/?customer=x", 400),
        ("/nowhere", 404),
    ],
)
def test_bad_requests_are_the_clients_fault(stack, path, status):
    assert requests.get(f"{stack.layout.shop}{path}", timeout=30).status_code == status


def test_it_is_measured(stack):
    requests.get(f"{stack.layout.shop}/products/5", timeout=30)
    text = requests.get(f"{stack.layout.shop}/metrics", timeout=30).text
    assert 'service_name="shop",service_version="v1"' in text
    assert 'http_route="/products/{id}"' in text
    assert "db_client_operation_duration_seconds_count{" in text
    assert 'db_up{db_client_connection_pool_name="shop"} 1.0' in text
