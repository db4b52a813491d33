"""Every framework in a real server, with the vendors' real SDKs: what arrives of it, and how often."""

import pytest

from real.exporter.apm.notices import datadog_tags, sentry_event
from real.exporter.apm.running import Shop

QUICK = ["fastapi", "flask", "django_wsgi", "aiohttp"]
OTHERS = ["plain_asgi", "plain_wsgi", "starlette", "middleware", "django_asgi"]
RESOURCES = {
    "django_wsgi": {"GET items/<item>", "GET boom"},
    "django_asgi": {"GET items/<item>", "GET boom"},
    "flask": {"GET /items/<item>", "GET /boom"},
    "plain_asgi": {"GET /items/3", "GET /boom"},
    "plain_wsgi": {"GET /items/3", "GET /boom"},
}
WITH_ROUTES = {"starlette", "fastapi", "middleware"}  # in the names of Sentry's transactions
TAGS = {"service_version": "1.4.2", "deployment_environment_name": "staging"}
PATHS = ("/metrics", "/items/3", "/boom", "/healthz", "/metrics")


def visit(shop):
    return [shop.get(path)[0] for path in PATHS]


def check_sentry(receiver, service):
    """One request and one that fails: two transactions, one error, each with the tags of the metrics."""
    receiver.wait("transaction", 2)
    (event,) = receiver.wait("event", 1)
    assert [value["type"] for value in event["exception"]["values"]] == ["ShopError"]
    for item in (event, *receiver.of("transaction")):
        assert (item["release"], item["environment"]) == ("1.4.2", "staging")
        assert TAGS | {"service_name": service} == {name: item["tags"].get(name) for name in (*TAGS, "service_name")}
    of_controller = sentry_event(TAGS | {"service_name": service})
    for name in ("release", "environment"):
        assert of_controller[name] == event[name]
    assert TAGS | {"service_name": service} == {
        name: of_controller["tags"].get(name) for name in (*TAGS, "service_name")
    }
    assert len(receiver.of("transaction")) == 2


def check_datadog(agent, service):
    """Two traces, one of them with one failing root."""
    traces = agent.wait(service, 2)
    roots = [span for trace in traces for span in trace if not span["parent_id"]]
    assert len(roots) == 2
    for span in roots:
        assert (span["meta"]["version"], span["meta"]["env"]) == ("1.4.2", "staging")
        # What the tracer tells in the words that join traces and events in Datadog.
        joined = {f"service:{span['service']}", f"env:{span['meta']['env']}", f"version:{span['meta']['version']}"}
        assert joined <= datadog_tags(TAGS | {"service_name": service})
    (failed,) = [span for span in roots if span["error"]]
    assert failed["meta"]["error.type"].endswith("ShopError")
    servers = [span for trace in traces for span in trace if span["meta"].get("span.kind") == "server"]
    names = {span["name"].partition(".")[0] for span in servers}
    assert len(names) == 1, names  # no second framework's middleware around or inside it


def run(framework, sentry, agent, folder):
    service = f"both-{framework}"
    with Shop(folder, framework, SENTRY_DSN=sentry.dsn, DD_TRACE_AGENT_URL=agent.url, SERVICE=service) as shop:
        assert visit(shop) == [200, 200, 500, 200, 200]
        check_sentry(sentry, service)
        check_datadog(agent, service)
    assert shop.complaints() == []
    roots = [span for trace in agent.traces(service) for span in trace if not span["parent_id"]]
    assert {span["resource"] for span in roots} == RESOURCES.get(framework, {"GET /items/{item}", "GET /boom"})
    if framework in WITH_ROUTES:  # which were declared before the SDK was set up
        assert {item["transaction"] for item in sentry.of("transaction")} == {"/items/{item}", "/boom"}


@pytest.mark.parametrize("framework", QUICK)
def test_an_error_of_a_handler_arrives_once_at_each_vendor_with_release_and_environment(
    framework, sentry, agent, tmp_path
):
    run(framework, sentry, agent, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("framework", OTHERS)
def test_an_error_arrives_once_whatever_the_framework(framework, sentry, agent, tmp_path):
    run(framework, sentry, agent, tmp_path)


QUICK_ORDERS = [("fastapi", "before"), ("plain_asgi", "after")]
OTHER_ORDERS = [
    *(("fastapi", "after"), ("plain_asgi", "before"), ("starlette", "after"), ("middleware", "before")),
    *((framework, order) for framework in ("flask", "django_wsgi", "django_asgi") for order in ("before", "after")),
    *(("plain_wsgi", "before"), ("aiohttp", "before"), ("aiohttp", "after")),
]


def run_beside(framework, order, sentry, agent, folder):
    """The application sets both SDKs up itself, as it would without the monitor."""
    service = f"{order}-{framework}"
    with Shop(
        folder, framework, order,
        SENTRY_DSN=sentry.dsn, OWN_SENTRY=sentry.dsn, OWN_DATADOG="1", DD_TRACE_AGENT_URL=agent.url, SERVICE=service,
        DD_UNLOAD_MODULES_FROM_SITECUSTOMIZE="false",
    ) as shop:  # fmt: skip
        assert visit(shop) == [200, 200, 500, 200, 200]
        check_sentry(sentry, service)
        check_datadog(agent, service)
    assert shop.complaints() == []


@pytest.mark.parametrize(("framework", "order"), QUICK_ORDERS)
def test_nothing_arrives_twice_where_the_application_sets_the_sdks_up_itself(
    framework, order, sentry, agent, tmp_path
):
    run_beside(framework, order, sentry, agent, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize(("framework", "order"), OTHER_ORDERS)
def test_nothing_arrives_twice_in_any_framework_and_order(framework, order, sentry, agent, tmp_path):
    run_beside(framework, order, sentry, agent, tmp_path)
