"""What people say comes through one door: the same refusals for every word, whoever hands it over."""

import pytest

from real.controller.served import BASE, serving
from rearguard_controller.errors import InvalidInputError, NotFoundError
from rearguard_controller.intake.by_hand import ManualRequest
from rearguard_controller.model import Said

ANN = Said("ann", "it fails")


@pytest.fixture
async def service(tmp_path):
    async with serving(tmp_path) as service:
        yield service


@pytest.fixture
def people(service):
    return service.controller.parts.people


async def refusal(service, path, body):
    status, answer = await service.post(path, body)
    return status, answer["error"]["message"], answer["error"]["hint"]


async def test_whatever_is_said_of_a_target_that_nobody_configured_is_refused_alike(service):
    said = {"reason": "it fails"}
    found = [
        await refusal(service, f"{BASE}/rollback/trigger", {"target": "till", **said}),
        await refusal(service, f"{BASE}/targets/till/arm", said),
        await refusal(service, f"{BASE}/targets/till/disarm", said),
        await refusal(service, f"{BASE}/targets/till/releases", {"version": "v3"}),
        await refusal(service, f"{BASE}/targets/till/drill", said),
    ]
    assert found == [(404, "No target is called 'till'.", "Configured: checkout, search.")] * 5


async def test_the_door_itself_refuses_what_no_route_has_looked_at(people):
    words = [
        people.trigger(ManualRequest("checkout", "it fails", "ann", to_version="-v1")),
        people.trigger(ManualRequest("checkout", "it fails", "ann", idempotency_key="")),
        people.disarm("checkout", ANN, 1.0),
        people.disarm_all(ANN, 1.0),
        people.announce("checkout", "v 1", operator="ci"),
        people.announce("checkout", "v1", operator="ci", phase="begun"),
    ]
    fields = []
    for word in words:
        with pytest.raises(InvalidInputError) as refused:
            await word
        fields.append(refused.value.field)
    assert fields == ["to_version", "Idempotency-Key", "until", "until", "version", "phase"]
    for word in (people.approve, people.veto, people.abort, people.close):
        with pytest.raises(NotFoundError):
            await word("r9", ANN)


async def test_a_refused_word_leaves_no_trace_and_a_heard_one_says_who_and_why(people, service):
    with pytest.raises(InvalidInputError):
        await people.disarm_all(ANN, 1.0)
    assert await service.controller.journal.operator_actions() == ()
    await people.disarm("checkout", ANN)
    [done] = await service.controller.journal.operator_actions()
    assert (done.operator, done.action, done.subject, done.reason) == ("ann", "disarm", "checkout", "it fails")
