"""The demo's output in docs/demo.md has the words that the demo uses now: questions, spans, claims."""

import re

from local_stack.binaries import ROOT
from rearguard_controller.judgement import policy
from unit.controller.factories import alert, facts, target

SHOWN = re.search(r"unedited:\n\n```text\n(.*?)```", (ROOT / "docs" / "demo.md").read_text(), re.DOTALL)[1]
SOURCE = "".join((ROOT / f"deploy/local/local_stack/{name}.py").read_text() for name in ("demo", "proof", "load"))


def part(begin, end):
    """The lines between two headings."""
    return SHOWN.partition(f"{begin}\n")[2].partition(f"\n\n{end}")[0].splitlines()


def test_the_decision_shows_the_questions_that_are_asked_in_their_order():
    shown = re.findall(r"^ {10}yes {6}(\w+) ", SHOWN, re.MULTILINE)
    asked = [reason.code.value for reason in policy.decide("d1", alert(), target(), facts()).reasons]
    assert shown == asked


def test_every_span_and_claim_is_one_that_the_demo_prints():
    spans = [re.split(r" {2,}", line)[0] for line in part("How long it took", "What clients saw")[1:]]
    claims = [re.split(r" {2,}", line)[1] for line in part("Proof", "How it decides") if line.startswith("yes ")]
    assert len(spans) > 5
    assert len(claims) > 3
    assert [each for each in (*spans, *claims) if f'"{each}"' not in SOURCE] == []
