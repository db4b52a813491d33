"""Which targets a poll looks at, when `current` is run, and what the one note for all targets says."""

from dataclasses import replace

import pytest

from rearguard_controller.model import AlertsSeen, Sample, SeenAlert, TargetState
from rearguard_controller.model.codes import AlertState
from rearguard_controller.model.watched import MOST_APART, MOST_LEFT_OUT, Watched
from rearguard_controller.releases.looks import Serving, Watch
from rearguard_controller.releases.presence import Instances
from rearguard_controller.releases.remembered import Remembered
from rearguard_controller.releases.trust import differ_in_time_only
from rearguard_controller.watching.attention import Attention, Look, Signs, is_calm, turns
from unit.controller.factories import MATCH, NOW, TARGET, policy, release, target
from unit.controller.runtime_kit import runtime

DAY = 86_400.0
IT = target(policy=policy(known_good_after=600.0, watch_window=1800.0))
V1 = release("v1", first_seen=NOW - DAY, known_good_at=NOW - DAY, service_version="1.0")
STATE = TargetState(TARGET, serving_version="v1", serving_since=NOW - DAY, clean_since=NOW - DAY)
SIGNS = Signs(IT.release, frozenset({"one"}), frozenset(), 1, "v1")


def shows(*versions):
    labels = [{**MATCH, "__name__": "target_info", "instance": str(n)} for n, _ in enumerate(versions)]
    return Instances(
        NOW,
        [
            Sample({**of, "service_version": told} if told else of, 1.0)
            for of, told in zip(labels, versions, strict=True)
        ],
    )


def calm(state=STATE, known=V1, **watch):
    return is_calm(IT, Serving(state.serving_version, "", state), known, Watch(**watch), NOW)


def test_what_was_seen_of_a_target_that_is_gone_is_forgotten_and_news_when_it_comes_back():
    care = Attention()
    care.begin(1)
    for name in ("gone", "stays"):
        care.look(name, SIGNS, 4)
        care.found(name, calm=True)
    care.keep_only([target(name="stays")])
    care.begin(1)
    assert care.look("gone", SIGNS, 10**6) is Look.CLOSELY
    assert care.look("stays", SIGNS, 10**6) is None


def test_a_target_with_a_trusted_version_for_long_is_calm():
    assert calm()
    assert calm(instances=shows("1.0", "1.0"))
    assert calm(instances=shows(None))  # it tells no version, so it is read at each of its turns
    assert calm(instances=Instances(NOW))  # Prometheus is away


@pytest.mark.parametrize(
    "young_or_troubled",
    [
        {"known": replace(V1, known_good_at=None)},  # it earns trust
        {"state": replace(STATE, is_release=True, serving_since=NOW - 60)},  # it may be blamed
        {
            "known": replace(V1, known_good_at=None),
            "state": replace(STATE, clean_since=None, serving_since=NOW - 900),
        },
        {"alerts": ({"alertname": "HighErrorRate"},)},
        {"state": replace(STATE, deploy_started_at=NOW - 5)},
        {"instances": shows("1.0", "2.0")},
        {"instances": shows("2.0")},
        {"known": None},
    ],
)
def test_a_target_that_is_young_or_in_trouble_is_not(young_or_troubled):
    assert not calm(**young_or_troubled)


def test_in_a_storm_of_very_many_an_alert_alone_makes_no_target_one_to_be_looked_at_closely():
    alerts = ({"alertname": "HighErrorRate"},)
    assert calm(alerts=alerts, in_storm=True)
    assert not calm(alerts=alerts, in_storm=True, state=replace(STATE, is_release=True, serving_since=NOW - 60))


def test_a_version_that_was_denied_trust_for_long_is_not_looked_at_closely_for_ever():
    denied = replace(STATE, clean_since=None)
    assert calm(state=denied, known=replace(V1, known_good_at=None))


def test_a_calm_target_has_its_turn_and_any_change_is_looked_at_closely():
    care = Attention()
    looks = []
    for number in range(9):
        care.begin(1)
        looks.append(care.look(TARGET, SIGNS, 4))
        care.found(TARGET, calm=number > 0)
    assert looks[:2] == [Look.CLOSELY, Look.CLOSELY]
    assert looks[2:].count(Look.IN_TURN) in (1, 2)
    assert looks.count(None) >= 5
    for change in (
        {"serving": "v2"},
        {"announced": NOW},
        {"instances": None},
        {"alerts": frozenset("a")},
        {"rules": 2},
    ):
        care.found(TARGET, calm=True)
        assert care.look(TARGET, replace(SIGNS, **change), 4) is Look.CLOSELY
        care.look(TARGET, SIGNS, 4)
    care.found(TARGET, calm=True)
    care.begin(2)  # another term
    assert care.look(TARGET, SIGNS, 4) is Look.CLOSELY


def test_an_open_rollback_is_looked_at_closely():
    care = Attention()
    for _ in range(3):
        care.begin(1)
        assert care.look(TARGET, replace(SIGNS, under_way=True), 1) is Look.CLOSELY
        care.found(TARGET, calm=True)


@pytest.mark.parametrize(("poll", "expected"), [(1.0, 4), (15.0, 4), (20.0, 3), (60.0, 1), (500.0, 1)])
def test_a_turn_comes_within_a_minute_as_far_as_polls_allow(poll, expected):
    assert turns(poll) == expected


class Lead:
    def __init__(self):
        self.epoch, self.noted = 1, []

    def of(self, _target):
        return self

    async def note_watched(self, watched):
        self.noted.append(watched)


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def lead():
    return Lead()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def remembered(lead, clock):
    return Remembered(runtime(None, lead=lead, clock=clock, steady=clock))


def test_a_version_is_read_again_within_five_minutes_and_at_once_if_it_is_read_in_another_way(remembered, clock):
    assert remembered.known(IT) is None
    remembered.was_read(IT, "v1")
    clock.now += 150
    assert remembered.known(IT) == "v1"
    assert remembered.known(replace(IT, release=replace(IT.release, rollback=None))) is None
    clock.now += 150
    assert remembered.known(IT) is None


def test_not_all_targets_are_due_at_the_same_moment(remembered, clock):
    fleet = [target(name=f"s{number}") for number in range(200)]
    for each in fleet:
        remembered.was_read(each, "v1")
    clock.now += 240
    assert 60 <= sum(remembered.known(each) is None for each in fleet) <= 140


async def test_the_note_says_until_when_all_were_seen_and_who_was_not(remembered, lead, clock):
    fleet = [target(name=name) for name in "abc"]
    for number, each in enumerate(fleet):
        remembered.saw(each, clock.now + number, written=True)
    clock.now += 10
    await remembered.note(fleet)
    remembered.lost(fleet[1])
    await remembered.note(fleet)
    remembered.keep_only(fleet[:2])
    await remembered.note(fleet[:2])
    clock.now += 1000
    remembered.saw(fleet[0], clock.now, written=False)
    await remembered.note(fleet[:1])
    assert lead.noted == [
        Watched(NOW, NOW),
        Watched(NOW, NOW, ("b",)),
        Watched(NOW, NOW, ("b", "c")),
        Watched(NOW, clock.now, ("c",)),
    ]


CLOSE = Watch(seen=AlertsSeen(NOW, ()), closely=True)


async def test_the_note_has_the_moments_of_targets_that_are_looked_at_closely_so_that_no_record_is_written(
    remembered, lead, clock
):
    fleet = [target(name=name) for name in "abc"]
    for each in fleet:
        remembered.saw(each, NOW, written=True)
    young = fleet[1]
    assert remembered.may_note(young, CLOSE)
    assert not remembered.may_note(young, Watch(closely=True)), "Prometheus was away: its moment would be lost"
    clock.now += 15
    remembered.saw(young, clock.now, written=False, closely=True)
    await remembered.note(fleet)
    (noted,) = lead.noted
    assert noted == Watched(NOW, NOW, apart={"b": NOW + 15})
    seen = {name: noted.of(replace(SEEN, target=name, looked_at=NOW, clean_checked_at=NOW)) for name in "ab"}
    assert [seen[name].clean_checked_at for name in "ab"] == [NOW, NOW + 15]
    assert remembered.moved_on(replace(SEEN, target="b", looked_at=NOW)).looked_at == NOW + 15
    remembered.saw(young, clock.now, written=True, closely=True)  # something changed: its record tells
    await remembered.note(fleet)
    assert lead.noted[-1].apart == {}


async def test_there_is_room_in_the_note_for_so_many_of_them(remembered):
    fleet = [target(name=f"s{number}") for number in range(MOST_APART + 1)]
    for each in fleet:
        remembered.saw(each, NOW, written=True)
    for each in fleet[:-1]:
        assert remembered.may_note(each, CLOSE)
        remembered.saw(each, NOW, written=False, closely=True)
    assert not remembered.may_note(fleet[-1], CLOSE)
    assert remembered.may_note(fleet[0], CLOSE)
    remembered.lost(fleet[0])
    assert remembered.may_note(fleet[-1], CLOSE)


async def test_a_target_whose_record_was_not_written_in_this_term_is_not_spoken_of(remembered, lead, clock):
    a, b = target(name="a"), target(name="b")
    remembered.saw(a, NOW, written=True)
    remembered.saw(b, NOW, written=False)
    await remembered.note([a, b])
    assert lead.noted == []  # the term is young, and b will be looked at: the note before still says more
    clock.now += 121
    await remembered.note([a, b])
    assert lead.noted == [Watched(NOW, NOW, ("b",))]
    lead.epoch = 2
    await remembered.note([a, b])
    assert len(lead.noted) == 1


async def test_there_is_no_note_that_would_name_too_many(remembered, lead):
    fleet = [target(name=f"s{number}") for number in range(MOST_LEFT_OUT + 2)]
    remembered.saw(fleet[0], NOW, written=True)
    await remembered.note(fleet)
    assert lead.noted == []


SEEN = TargetState(
    TARGET, serving_version="v1", looked_at=NOW, clean_checked_at=NOW, clean_since=NOW - 9, alerts=AlertsSeen(NOW)
)


def test_the_note_moves_on_what_was_recorded_since_the_term_began():
    note = Watched(NOW - 5, NOW + 30)
    found = note.of(SEEN)
    assert (found.looked_at, found.clean_checked_at, found.alerts) == (NOW + 30, NOW + 30, AlertsSeen(NOW + 30))
    assert found.clean_since == NOW - 9
    assert Watched(NOW - 5, NOW + 30, (TARGET,)).of(SEEN) == SEEN
    assert Watched(NOW + 1, NOW + 30).of(SEEN) == SEEN  # written before the term: nobody has looked at it since
    assert Watched(NOW - 50, NOW - 30).of(SEEN) == SEEN


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"looked_at": NOW + 15, "clean_checked_at": NOW + 15, "alerts": AlertsSeen(NOW + 15)}, True),
        ({"figure_at": NOW - 20}, True),  # of before the good service began
        ({"figure_at": NOW}, False),
        ({"clean_since": None}, False),
        ({"alerts": AlertsSeen(NOW + 15, (SeenAlert("A", AlertState.FIRING),))}, False),
        ({"alerts": None}, False),
        ({"serving_version": "v2"}, False),
        ({"armed": False}, False),
    ],
)
def test_a_state_is_written_when_more_than_moments_differ(change, same):
    assert differ_in_time_only(SEEN, replace(SEEN, **change)) is same
