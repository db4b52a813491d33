"""What enters an argument, and what is kept of an output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.adapters.actions import ActionContext
from rearguard_controller.adapters.actions.command import CappedOutput, environment
from rearguard_controller.adapters.actions.context import Refused, fill_address, fill_argument
from rearguard_controller.adapters.actions.redaction import Secrets
from rearguard_controller.model import CommandAction
from rearguard_controller.model.versions import is_version

CONTEXT = ActionContext(target="checkout", from_version="v2", to_version="v1", rollback_id="r-7")


@pytest.mark.parametrize(
    ("argument", "filled"),
    [
        ("plain", "plain"),
        ("{target}", "checkout"),
        ("--to={to_version}", "--to=v1"),
        ("{from_version}->{to_version} ({rollback_id})", "v2->v1 (r-7)"),
        ('{"json": "{to_version}"}', '{"json": "v1"}'),
        ("{{to_version}}", "{v1}"),
        ("{other}", "{other}"),
        ("{}", "{}"),
    ],
)
def test_placeholders_are_filled_and_nothing_else_changes(argument, filled):
    assert fill_argument(argument, CONTEXT) == filled


def test_in_an_address_every_value_is_encoded():
    context = ActionContext(target="a/../b?c#d", to_version="v1")
    assert fill_address("http://h/{target}/{to_version}", context) == "http://h/a%2F..%2Fb%3Fc%23d/v1"


@given(st.text())
def test_no_value_turns_an_argument_into_an_option(target):
    filled = ""
    try:
        filled = fill_argument("{target}", ActionContext(target=target))
        assert filled == target
    except Refused:
        assert not target or target.startswith("-")
    assert not filled.startswith("-")


@pytest.mark.parametrize(
    "version", ["v1", "1.4.2", "1.4.2+build.7", "sha256:0af1", "reg.io/app@sha256:1", "main-3f2", "a..b", "x" * 253]
)
def test_the_usual_identities_are_versions(version):
    assert is_version(version)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-v1",
        "--all",
        "v 1",
        "v1\n",
        "v1;id",
        "$(id)",
        "`id`",
        "a\x00",
        "é",
        "..",
        "../x",
        "a/../b",
        "a/..",
        "x" * 254,
        "{to}",
    ],
)
def test_anything_that_could_mean_more_is_no_version(text):
    assert not is_version(text)


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_of_an_output_the_ends_are_kept_and_the_middle_is_counted(pieces):
    output = CappedOutput(cap=40)
    for piece in pieces:
        output.add(piece)
    whole = b"".join(pieces)
    if len(whole) <= 40:
        assert output.text(Secrets()) == whole.decode(errors="replace").replace("\x00", "\ufffd")
    else:
        note = f"\n[... {len(whole) - 40} bytes left out ...]\n"
        head, tail = (part.decode(errors="replace").replace("\x00", "\ufffd") for part in (whole[:20], whole[-20:]))
        assert output.text(Secrets()) == head + note + tail


def test_the_environment_holds_only_what_is_named():
    own = {"PATH": "/bin", "HOME": "/root", "LANG": "C", "TOKEN": "secret", "KUBECONFIG": "/k", "REARGUARD_STEP": "x"}
    action = CommandAction(("x",), 1.0, "/", env={"A": "1"}, pass_env=("KUBECONFIG", "GONE"))
    assert environment(action, ActionContext("t", step="drain", attempt=3), own) == {
        "PATH": "/bin",
        "HOME": "/root",
        "LANG": "C",
        "KUBECONFIG": "/k",
        "A": "1",
        "REARGUARD_TARGET": "t",
        "REARGUARD_FROM_VERSION": "",
        "REARGUARD_TO_VERSION": "",
        "REARGUARD_ROLLBACK_ID": "",
        "REARGUARD_STEP": "drain",
        "REARGUARD_ATTEMPT": "3",
    }
