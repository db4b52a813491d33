"""Payload → alerts → decision → plan, with whatever bytes and texts: only the typed errors ever come out."""

from __future__ import annotations

import json
import re

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from rearguard_controller import json_views, wording
from rearguard_controller.adapters.actions import ActionContext
from rearguard_controller.adapters.actions.context import Refused, check, fill_address, fill_argument
from rearguard_controller.api import webhook_body
from rearguard_controller.config import parse_web
from rearguard_controller.errors import ConfigError, InvalidInputError
from rearguard_controller.judgement.policy import decide
from rearguard_controller.model import AlertState, Verdict
from rearguard_controller.model.versions import is_version
from rearguard_controller.rollback.plan import plan
from unit.controller import factories as make

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
TEXT = st.text(max_size=40)
HOSTILE = st.sampled_from(["$(id)", "`id`", "-rf", "--flag", "../..", "\n", "\u202e", "\ud800", "{to_version}", "\0"])
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
LABELS = st.dictionaries(
    st.sampled_from(["alertname", "action", "service_name", "service_version", "pod", *make.MATCH]) | TEXT,
    st.sampled_from(["rollback", *make.MATCH.values()]) | TEXT | HOSTILE | VALUE,
    max_size=6,
)
ALERT = st.fixed_dictionaries(
    {"status": st.sampled_from(["firing", "resolved"]) | VALUE, "labels": LABELS},
    optional={
        "annotations": LABELS | VALUE,
        "startsAt": st.sampled_from(["2026-01-31T18:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"])
        | VALUE,
        "fingerprint": VALUE,
        "unknown": VALUE,
    },
)
BODY = st.fixed_dictionaries({"alerts": st.lists(ALERT | VALUE, max_size=3)}, optional={"version": VALUE})


def parsed(body):
    """The alerts, or none when the body is refused in the one typed way."""
    try:
        return webhook_body.parse(body)
    except InvalidInputError as error:
        refused = error
    assert refused.field
    assert not CONTROL.search(refused.message)
    return ()


@given(st.binary(max_size=200) | BODY.map(lambda body: json.dumps(body).encode("utf-8", "surrogatepass")))
@settings(max_examples=400, deadline=None)
def test_any_payload_is_alerts_or_a_refusal_that_names_the_place(body):
    for alert in parsed(body):
        assert alert.name
        orjson.dumps(json_views.alert(alert))


@given(
    BODY,
    st.none() | st.floats(allow_nan=False) | st.just(0.3),
    st.sampled_from(AlertState),
    st.none() | TEXT | st.just("v2"),
)
@settings(max_examples=300, deadline=None)
def test_any_alert_is_judged_and_what_is_decided_can_be_planned_and_shown(body, value, state, version):
    facts = make.facts(measurement=make.measurement(value), alert_state=state, serving_version=version)
    for alert in parsed(json.dumps(body).encode("utf-8", "surrogatepass")):
        for target in (None, make.target()):
            decision = decide("d1", alert, target, facts)
            orjson.dumps(json_views.decision(decision))
            if decision.verdict is Verdict.ROLL_BACK:
                assert target is not None
                assert is_version(decision.to_version)
                for step in plan(target, conditions=(make.condition(),)):
                    orjson.dumps(json_views.step(step))


@given(
    TEXT | HOSTILE, TEXT | HOSTILE, st.sampled_from(["{to_version}", "--to={to_version}", "{target}", "a{target}b"])
)
@settings(max_examples=400, deadline=None)
def test_any_value_becomes_exactly_one_inert_argument_or_is_refused(target, version, template):
    context = ActionContext(target=target, to_version=version)
    try:
        check(context)
        filled = fill_argument(template, context)
        address = fill_address(f"http://127.0.0.1/{template}", context)
    except Refused:
        return
    except UnicodeEncodeError:
        assert "\ud800" in target  # a lone surrogate cannot be written; `command.run` makes this a failed result
        return
    assert filled == template.replace("{to_version}", version).replace("{target}", target) or "{" in target
    assert not filled.startswith("-") or template.startswith("-")
    assert address.startswith("http://127.0.0.1/")
    assert not set(address) & set(" \n\r?#@\"'`$")


@given(TEXT | HOSTILE | VALUE.map(repr) | VALUE.map(lambda value: f"tls_server_config: {json.dumps(value)}"))
@settings(max_examples=200, deadline=None)
def test_any_web_configuration_is_settings_or_a_refusal_with_file_and_line(tmp_path_factory, text):
    try:
        parse_web(text, file="web.yml", folder=tmp_path_factory.getbasetemp())
    except ConfigError as error:
        refused = error.message
    else:
        refused = "web.yml:"
    assert refused.startswith("web.yml:")


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(["http", "https", "postgresql"]))
def test_an_address_is_shown_without_user_password_and_query(user, query, scheme):
    url = f"{scheme}://{re.sub('[/?#]', '', user)}:Secret@host:1/path?{query}Secret#Secret"
    assert wording.address(url) == f"{scheme}://host:1/path"
