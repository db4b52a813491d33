"""Before any decision: a judgement of now, as if a target's first trigger alert fired. It leaves nothing behind."""

import pytest

from real.controller.served import BASE, FIGURE, evaluating, metrics, serving
from real.controller.test_newcomers import poll
from real.controller.test_watching import until

RULE = (
    FIGURE
    + """
      - alert: Broken
        expr: figure > 100
        labels: {action: rollback, severity: critical}
        annotations: {figure: figure, threshold: "> 0.1"}
"""
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with evaluating(tmp_path_factory.mktemp("as-if") / "prometheus", RULE) as found:
        yield found


async def test_an_alert_that_does_not_fire_is_judged_by_the_figures_of_now_and_leaves_nothing_behind(
    tmp_path, address
):
    async with serving(tmp_path, prometheus=address) as service:

        async def judged():
            await poll(service)
            _, found = await service.get(f"{BASE}/targets/checkout/judgement")
            reasons = {each["code"]: each for each in found["decision"]["reasons"]}
            return found if reasons["alert_confirmed"]["holds"] else None

        await until(judged)
        found = await judged()
        decision = found["decision"]
        assert found["told"].startswith("As if Broken fired now. It is made up: nothing is recorded")
        assert (found["made_up"], decision["alert"]["name"], decision["alert"]["source"]) == (
            True,
            "Broken",
            "made up",
        )
        reasons = {each["code"]: each for each in decision["reasons"]}
        assert "0.3" in reasons["alert_confirmed"]["detail"]
        assert reasons["mode_allows"]["holds"] is True
        assert reasons["no_storm"]["holds"] is True
        assert (
            decision["verdict"] == "leave"
        )  # v2 was just adopted: it is no release, and there is none to go back to
        assert "known_good_exists" in {each["code"] for each in decision["reasons"] if each["blocks"]}
        _, decided = await service.get(f"{BASE}/decisions")
        assert decided["decisions"] == []
        _, status = await service.get(f"{BASE}/rollback/status")
        assert (status["targets"][0]["firing"], status["open"]) == ([], [])
        counted = (await metrics(service))["rearguard_decisions"].samples
        assert {each.value for each in counted if each.name.endswith("_total")} == {0.0}
        assert service.controller.parts.judge is not None
        assert (await service.get(f"{BASE}/decisions/{decision['id']}"))[0] == 404


async def test_a_target_that_does_not_exist_is_told_with_the_one_that_was_meant(tmp_path):
    async with serving(tmp_path) as service:
        status, answer = await service.get(f"{BASE}/targets/chekout/judgement")
        assert status == 404
        assert "Did you mean checkout?" in answer["error"]["hint"]


async def test_without_prometheus_the_judgement_says_what_is_not_known(tmp_path):
    async with serving(tmp_path) as service:
        _, found = await service.get(f"{BASE}/targets/checkout/judgement")
        (confirmed,) = [each for each in found["decision"]["reasons"] if each["code"] == "alert_confirmed"]
        assert confirmed["holds"] is not True
        assert found["decision"]["verdict"] == "leave"
