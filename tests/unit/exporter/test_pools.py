"""Pools as gauges: names, and a bound on how many there are."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rearguard_exporter.database.pools import PoolFigures, Pools


def exposed(pools):
    registry = CollectorRegistry()
    registry.register(pools)
    return {
        (sample.name.removeprefix("db_client_connection_"), *sample.labels.values()): sample.value
        for family in parse_text(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_pools_beyond_the_limit_are_one_and_counted():
    pools = Pools(2)
    for number in range(5):
        figures = PoolFigures(f"p{number}", idle=1, used=number, maximum=10 if number < 4 else None, pending=0)
        pools.add(figures.name, lambda figures=figures: figures)
    shown = exposed(pools)
    assert {key[1] for key in shown} == {"p0", "p1", "__overflow__"}
    assert shown["count", "__overflow__", "used"] == 2 + 3 + 4
    assert ("max", "__overflow__") not in shown  # one of them has no limit, or does not know it
    assert pools.folded == 3
    assert pools.series() == len([key for key in shown if key[0] == "count"])


def test_names_stay_apart_however_long_and_odd_they_are():
    pools, names = Pools(100), []
    for wanted in ("x" * 300, "x" * 400, "a\0", "a\ufffd", "same", "same", "same"):
        name = pools.free_name(wanted)
        pools.add(name, lambda name=name: PoolFigures(name, idle=0))
        names.append(name)
    assert len(set(names)) == len(names) == len(exposed(pools))
    assert names[-3:] == ["same", "same-2", "same-3"]


def test_a_pool_that_fails_or_is_gone_costs_only_itself():
    pools = Pools(100)

    def broken():
        raise RuntimeError

    pools.add("broken", broken)
    pools.add("gone", lambda: None)
    pools.add("fine", lambda: PoolFigures("fine", idle=3))
    assert exposed(pools) == {("count", "fine", "idle"): 3}
    assert not pools.has("gone")


def test_the_pool_that_replaces_one_that_is_gone_has_its_name():
    pools = Pools(100)
    pools.add(pools.free_name("orders"), lambda: None)
    assert pools.free_name("orders") == "orders"
