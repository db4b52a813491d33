"""Collectors of the application beside the exporter's own, in one registry."""

from prometheus_client import CollectorRegistry, Gauge

from rearguard_exporter import Monitor


class Failing:
    def describe(self):
        return ()

    def collect(self):
        raise LookupError


def test_a_collector_that_fails_costs_only_itself_wherever_it_stands():
    registry = CollectorRegistry()
    Gauge("before", "x", registry=registry)
    registry.register(Failing())
    Gauge("after", "x", registry=registry)
    monitor = Monitor("shop", "1.0", "test", registry=registry)
    body = monitor._endpoints.metrics.render("", "").body.decode()
    monitor.close()
    assert {"before 0.0", "after 0.0"} <= set(body.splitlines())
    assert 'service_name="shop"' in body
