"""Who else speaks Prometheus' language: VictoriaMetrics as a real process; Thanos and Mimir by recorded answers.

The recordings are what the public documents of their HTTP interfaces say. They show that an answer is read, and how
an error is told; not that those programs answer so today.
"""

import asyncio
import contextlib
import time

import pytest
from aiohttp import web

from local_stack import binaries
from local_stack.process import Program, free_ports
from rearguard_controller import config
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.model import AlertState

DEADLINE = 60.0
SCRAPES = """\
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: itself, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
RULES = """\
groups:
  - name: judged
    interval: 1s
    rules:
      - {record: "job:up:sum", expr: "sum by (job) (up)"}
      - alert: Certain
        expr: vector(3) > 2
        labels: {action: rollback}
        annotations: {figure: "job:up:sum", threshold: "> 1"}
      - {alert: Patient, expr: vector(1), for: 1h}
"""


async def until(ask, holds=bool):
    """The first answer that is as wanted. Until then it may be none, as right after a start."""
    deadline, last = time.monotonic() + DEADLINE, None
    while time.monotonic() < deadline:
        with contextlib.suppress(SourceError):
            last = await ask()
            if holds(last):
                return last
        await asyncio.sleep(0.2)
    raise AssertionError(f"not in time: {last}")


@contextlib.contextmanager
def victoria(folder, *options):
    """The address of a VictoriaMetrics whose rules a vmalert evaluates."""
    ours, its = free_ports(2)
    folder.mkdir()
    (folder / "scrape.yml").write_text(SCRAPES.format(port=ours))
    (folder / "rules.yml").write_text(RULES)
    address, alerts = f"http://127.0.0.1:{ours}", f"http://127.0.0.1:{its}"
    store = [
        str(binaries.find("victoria-metrics")), "-storageDataPath=data", f"-httpListenAddr=127.0.0.1:{ours}",
        "-retentionPeriod=1d",
        "-promscrape.config=scrape.yml", f"-vmalert.proxyURL={alerts}", *options,
    ]  # fmt: skip
    ruler = [
        str(binaries.find("vmalert")), "-rule=rules.yml", f"-datasource.url={address}", f"-remoteWrite.url={address}",
        f"-httpListenAddr=127.0.0.1:{its}", f"-notifier.url={address}/none",
    ]  # fmt: skip
    programs = [
        Program(
            "store",
            store,
            folder=folder,
            log=folder / "store.log",
            ready_url=f"{address}/health",
            environment=binaries.environment(),
        ),
        Program(
            "ruler",
            ruler,
            folder=folder,
            log=folder / "ruler.log",
            ready_url=f"{alerts}/health",
            environment=binaries.environment(),
        ),
    ]
    try:
        for each in programs:
            each.start()
        yield address
    finally:
        for each in programs:
            each.kill()


@contextlib.asynccontextmanager
async def asked_at(address, **fields):
    edge = Prometheus(PrometheusSettings(urls=(address,), **fields), clock=time.time)
    try:
        yield edge
    finally:
        await edge.close()


@pytest.fixture
def needs_victoria():
    lacking = binaries.missing(["victoria-metrics", "vmalert"])
    if lacking:
        pytest.skip(f"VictoriaMetrics: {lacking}")


@pytest.mark.usefixtures("needs_victoria")
async def test_victoriametrics_is_read_as_prometheus_is(tmp_path):
    with victoria(tmp_path / "vm", "-search.latencyOffset=0s") as address:
        async with asked_at(address) as edge:
            (up,) = await until(lambda: edge.query("up"), lambda found: found and found[0].value == 1)
            assert up.labels["job"] == "itself"
            now = time.time()
            (series,) = await edge.query_range("up", now - 3, now, 1)
            assert {value for _, value in series.points} == {1.0}
            (stored,) = await edge.stored("up", now - 30, now)
            assert all(now - 32 <= at <= now + 2 for at, _ in stored.points)
            assert set((await edge.scrape_intervals()).values()) == {1.0}, "of the discovered labels"
            alerts = await until(edge.alerts, lambda found: len(found) == 2)
            assert {each.name: each.state for each in alerts} == {
                "Certain": AlertState.FIRING,
                "Patient": AlertState.PENDING,
            }
            rules = await until(edge.rules, lambda found: len(found.alerting) == 2)
            (certain,) = rules.raising("Certain")
            assert (certain.annotations["figure"], certain.interval, certain.health) == ("job:up:sum", 1.0, "ok")
            found = await until(lambda: edge.alerting({"action": "rollback"}, rules))
            assert [(each.name, each.annotations["threshold"]) for each in found] == [("Certain", "> 1")]
            with pytest.raises(SourceError, match="refused the request"):
                await edge.query("up[")


@pytest.mark.usefixtures("needs_victoria")
async def test_with_its_own_settings_victoriametrics_answers_half_a_minute_late_and_its_clock_shows_it(tmp_path):
    """`-search.latencyOffset` is 30 s, so each figure is that old. docs/fleet.md says what to set."""
    with victoria(tmp_path / "vm") as address:
        async with asked_at(address) as edge:
            await until(edge.alerts)
            await edge.compare_clocks()
            (ahead,) = edge.skews.values()
            assert -35 < ahead < -25


# --- recordings


@contextlib.asynccontextmanager
async def recorded(answers):
    """A server that gives these answers, by path: (status, body); and the requests that it got."""
    got = []

    async def answer(request):
        got.append((request.path, dict(request.headers), dict(await request.post())))
        status, body = answers[request.path]
        return web.json_response(body, status=status)

    application = web.Application()
    application.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", got
    finally:
        await runner.cleanup()


def vector(*values):
    result = [{"metric": {"service_name": "checkout"}, "value": [1796038831, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


# https://thanos.io/tip/components/query.md/#partial-response
THANOS_PARTIAL = {
    "status": "error",
    "errorType": "execution",
    "error": "expanding series: proxy Series(): rpc error: code = Aborted desc = fetch series: receive series from"
    " Addr: 10.0.0.7:10901: rpc error: code = Unavailable desc = connection refused",
}
# https://grafana.com/docs/mimir/latest/manage/mimir-runbooks/ (errors catalog) and the HTTP API's reference
MIMIR_NO_TENANT = (401, {"status": "error", "errorType": "unauthorized", "error": "no org id"})
MIMIR_LIMIT = (
    422,
    {
        "status": "error",
        "errorType": "execution",
        "error": "the query exceeded the maximum number of series (limit: 100000 series)"
        " (err-mimir-max-series-per-query). To adjust the related per-tenant limit,"
        " configure -querier.max-fetched-series-per-query.",
    },
)
MIMIR_BUSY = (429, {"status": "error", "errorType": "too_many_requests", "error": "too many outstanding requests"})


async def test_thanos_is_told_that_a_partial_answer_is_none_and_its_warnings_do_no_harm():
    warned = {**vector("0.2"), "warnings": ["No StoreAPIs matched for this query"]}
    async with recorded({"/api/v1/query": (200, warned)}) as (address, got), asked_at(address) as edge:
        assert [each.value for each in await edge.query("figure")] == [0.2]
        assert [fields["partial_response"] for *_, fields in got if fields["query"] == "figure"] == ["false"]
    async with recorded({"/api/v1/query": (422, THANOS_PARTIAL)}) as (address, _), asked_at(address) as edge:
        with pytest.raises(SourceError, match="connection refused"):
            await edge.query("figure")


async def test_mimir_is_asked_below_its_prefix_with_the_tenant(tmp_path):
    text = """
environment: production
journal: sqlite:///j.db
prometheus: {{url: "{url}/prometheus", http_headers: {{X-Scope-OrgID: {{values: [shop]}}}}}}
targets: [{{name: a, match: {{a: b}}, release: {{command: {{current: [x], rollback: [y]}}}}}}]
"""
    async with recorded({"/prometheus/api/v1/query": (200, vector("1"))}) as (address, got):
        settings = config.parse(text.format(url=address), file="x.yaml", folder=tmp_path).prometheus
        edge = Prometheus(settings, clock=time.time)
        try:
            assert [each.value for each in await edge.query("figure")] == [1.0]
        finally:
            await edge.close()
        assert {headers["X-Scope-OrgID"] for _, headers, _ in got} == {"shop"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [(MIMIR_NO_TENANT, "no org id"), (MIMIR_LIMIT, "maximum number of series"), (MIMIR_BUSY, "outstanding")],
    ids=["no tenant", "limit", "busy"],
)
async def test_what_mimir_refuses_is_unknown_and_told_in_its_words(answer, said):
    async with recorded({"/api/v1/query": answer}) as (address, _), asked_at(address) as edge:
        with pytest.raises(SourceError) as refused:
            await edge.query("figure")
        assert said in f"{refused.value.message} {refused.value.hint}"
