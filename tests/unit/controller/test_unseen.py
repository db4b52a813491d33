"""What is told of a target that no trigger rule can say anything about: what differs, what is missing, what to do."""

import time

import pytest

from rearguard_controller.watching import unseen
from rearguard_controller.watching.label_sets import LabelSets
from unit.controller.factories import target

PRODUCTION = {"deployment_environment_name": "production"}
INFO = LabelSets(
    {"job": name, "instance": f"{name}:80", "service_name": name, **PRODUCTION} for name in ("basket", "orders")
)
ALERTS = LabelSets(
    {"alertname": "HighErrorRate", "service_name": name, "service_version": "v1", **PRODUCTION}
    for name in ("basket", "orders")
)


@pytest.mark.parametrize(
    ("match", "told"),
    [
        (
            {"service_name": "order", **PRODUCTION},
            'No target_info has service_name="order"; there are orders, basket.',
        ),
        (
            {"service_name": "orders", "deployment_environment_name": "prod"},
            'No target_info has deployment_environment_name="prod"; there are production.',
        ),
        (
            {"service_name": "orders", "deployment_environment": "prod"},  # the older name
            'No target_info has deployment_environment_name="prod"; there are production.',
        ),
        (
            {"job": "orders"},
            (
                "No alert of a trigger rule has the label job; their labels are deployment_environment_name,"
                ' service_name, service_version. Write service_name="orders",'
                ' deployment_environment_name="production"'
                " into `match` instead"
            ),
        ),
        (
            {"service_name": "orders", **PRODUCTION, "namespace": "shop"},
            "No alert of a trigger rule has the label namespace;",
        ),
    ],
)
def test_the_label_that_differs_is_named_with_the_values_that_there_are(match, told):
    assert unseen.by_labels(target(match=(match,)), ALERTS, INFO).startswith(told)


def test_an_alert_that_could_belong_to_the_target_leaves_nothing_to_say_of_labels():
    for name in ("deployment_environment_name", "deployment_environment"):
        match = {"service_name": "orders", name: "production"}
        assert unseen.by_labels(target(match=({"job": "kube"}, match)), ALERTS, INFO) == ""


def test_labels_that_only_the_alerts_of_different_rules_have_are_told_of():
    """Somebody's own rule has the label, but not for this service."""
    own = {"alertname": "GoErrors", "namespace": "shop", "deployment": "go"}
    info = LabelSets([*INFO.all, {"job": "nover", "namespace": "shop", "service_name": "nover", **PRODUCTION}])
    of_it = {"alertname": "HighErrorRate", "service_name": "nover", **PRODUCTION}
    told = unseen.by_labels(
        target(match=({"service_name": "nover", "namespace": "shop"},)), LabelSets([*ALERTS.all, own, of_it]), info
    )
    assert told == (
        'No alert of a trigger rule with service_name="nover" has namespace, too. Take namespace out of `match`, or'
        " write a rule whose alerts have it."
    )


def test_a_target_info_without_environment_is_told_of():
    bare = LabelSets([{"job": "orders", "service_name": "orders"}])
    told = unseen.by_labels(target(match=({"service_name": "orders"},)), LabelSets(ALERTS.all[:1]), bare)
    assert "has no deployment_environment_name, which the shipped rules need" in told


NEEDED = ("http_server_request_duration_seconds_count", "db_up")


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({"http_server_duration_milliseconds_count"}, "OTEL_SEMCONV_STABILITY_OPT_IN=http"),
        ({"http_server_duration_count"}, "OTEL_SEMCONV_STABILITY_OPT_IN=http"),
        ({"http_server_request_duration_seconds"}, "native histogram only"),
        ({"http.server.request.duration"}, "let names be translated with underscores"),
        ({"http_requests_total", "go_goroutines"}, "They show http_requests_total: write a rule about these"),
        ({"go_goroutines", "target_info", "scrape_duration_seconds"}, "They show nothing of requests"),
        ({"http_server_request_duration_seconds_count"}, "no figure comes of it yet"),
    ],
)
def test_what_is_missing_is_named_with_what_is_shown_instead(there, told):
    sentence = unseen.by_metrics(NEEDED, there)
    assert told in sentence
    assert ("http_server_request_duration_seconds_count" in sentence) is True


@pytest.mark.parametrize(
    ("there", "lone"),
    [
        (
            {"process_memory_usage_bytes"},
            "process_memory_usage_bytes says nothing without process_memory_limit_bytes.",
        ),
        (
            {"container_memory_usage_bytes", "go_goroutines"},
            "container_memory_usage_bytes says nothing without container_memory_available_bytes.",
        ),
    ],
)
def test_a_metric_that_tells_a_share_only_beside_another_is_not_taken_for_a_count_that_will_come(there, lone):
    """OpenTelemetry shows how much memory a process uses, and no limit of it."""
    sentence = unseen.by_metrics({*NEEDED, "process_memory_usage_bytes", "container_memory_usage_bytes"}, there)
    assert lone in sentence
    assert "no figure comes of it yet" not in sentence
    assert "They show nothing of requests" in sentence


def test_a_share_whose_parts_are_both_there_comes_with_time():
    there = {"process_memory_usage_bytes", "process_memory_limit_bytes"}
    assert "no figure comes of it yet" in unseen.by_metrics({*NEEDED, *there}, there)


OTHER = {"service_name": "orders", "deployment_environment_name": "production"}


@pytest.mark.parametrize(
    ("match", "telemetry", "instances", "told"),
    [
        ({"service_name": "orders"}, {"service_name": "basket"}, [], '`telemetry` says service_name="basket"'),
        (
            {"service_name": "orders", "deployment_environment": "production"},
            {"service_name": "orders", "deployment_environment_name": "staging"},
            [],
            'says deployment_environment_name="staging"',
        ),
        (
            {"service_name": "orders"},
            {"service_name": "orders"},
            [{"deployment_environment_name": "production"}, {"deployment_environment": "staging"}],
            "instances with deployment_environment_name production, staging",
        ),
        (OTHER, OTHER, [{"service_namespace": "a"}, {"service_namespace": "b"}, {}], "service_namespace a, b"),
        (OTHER, OTHER, [{"service_namespace": "a", **OTHER}, {"job": "orders"}], ""),
        ({"namespace": "shop"}, {"service_name": "orders"}, [OTHER], ""),
    ],
)
def test_figures_that_may_be_of_another_service_are_told_of(match, telemetry, instances, told):
    sentence = unseen.of_others(target(match=(match,), telemetry=telemetry), instances)
    assert told in sentence
    assert bool(sentence) is bool(told)


def test_environments_that_match_names_belong_together():
    both = tuple({"service_name": "orders", "deployment_environment_name": each} for each in ("eu", "us"))
    it = target(match=both, telemetry={"service_name": "orders"})
    assert unseen.of_others(it, both) == ""


@pytest.mark.parametrize(
    ("there", "unread"),
    [
        ({"process_memory_usage_bytes", "http_server_duration_milliseconds_count"}, True),
        ({"process_memory_usage_bytes", "http_server_request_duration_seconds"}, True),
        ({"process_memory_usage_bytes", "http.server.request.duration_count"}, True),
        (
            {"process_memory_usage_bytes", "http_server_request_duration_seconds_count"},
            False,
        ),  # none yet, as at night
        ({"process_memory_usage_bytes", "jobs_done_total"}, False),
    ],
)
def test_requests_that_no_rule_can_read_are_told_of(there, unread):
    assert bool(unseen.unread_requests(there)) is unread


def seconds_of_200(services):
    """The least time of three to say what is wrong with 200 targets, whose names none of so many services has."""
    names = [f"service-{number:04}" for number in range(services)]
    info = LabelSets({"job": each, "instance": f"{each}:80", "service_name": each, **PRODUCTION} for each in names)
    alerts = LabelSets({"alertname": "A", "service_name": each, **PRODUCTION} for each in names)
    wanted = [target(match=({"service_name": f"{each}-api", **PRODUCTION},)) for each in names[:200]]
    took = []
    for _ in range(3):
        began = time.process_time()
        told = [unseen.by_labels(each, alerts, info) for each in wanted]
        took.append(time.process_time() - began)
        assert told[7].startswith('No target_info has service_name="service-0007-api"; there are service-00')
        assert told[7].endswith(f"and {services - 5} more. Correct `match`, or what the service calls itself.")
    return min(took)


def test_a_target_that_nobody_speaks_of_costs_as_much_beside_thousands_of_services():
    assert seconds_of_200(4000) < 3 * seconds_of_200(250)
