"""Templates of notices: other words, and what becomes of those that are broken."""

from __future__ import annotations

import pytest

from rearguard_controller.adapters.notices import templates
from rearguard_controller.adapters.notices.message import message
from rearguard_controller.adapters.notices.notice import Notice
from rearguard_controller.cli import main
from rearguard_controller.model import NoticeEvent, Outcome, Phase
from unit.controller.factories import NOW, TARGET, decision, rollback

FINISHED = Notice(
    NoticeEvent.FINISHED, NOW, TARGET, decision().alert, decision(),
    rollback(phase=Phase.CLOSED, outcome=Outcome.RECOVERED, closed_at=NOW, detail="0.01 now."),
)  # fmt: skip


def loaded(folder, text, name="finished.j2"):
    (folder / name).write_text(text)
    return templates.load(folder)


def test_the_first_line_of_a_template_is_the_title_and_the_rest_the_text(tmp_path):
    text = "{{ target }} is {{ rollback.outcome }}\n{% if link %}See {{ link }}.{% endif %}\n{{ facts['Alert'] }}"
    said = loaded(tmp_path, text).message(FINISHED, "https://r")
    assert (said.title, said.text) == ("checkout is recovered", "See https://r/rollbacks/r1.\nReleaseErrorRate")
    ours = message(FINISHED, "https://r")
    assert (said.key, said.facts, said.ends, said.link) == (ours.key, ours.facts, ours.ends, ours.link)


def test_an_event_without_a_template_keeps_our_words(tmp_path):
    assert loaded(tmp_path, "x", "started.j2").message(FINISHED) == message(FINISHED)
    assert templates.load(None).message(FINISHED) == message(FINISHED)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ target", "line 1"),
        ("{{ tarjet }}", "tarjet, which there is not"),
        ("{% include 'finished.j2' %}{% bad %}", "line 1"),
    ],
)
def test_a_template_that_cannot_be_used_is_named_and_our_words_stay(tmp_path, text, words):
    found = loaded(tmp_path, text)
    [problem] = found.problems
    assert words in problem
    assert str(tmp_path / "finished.j2") in problem
    assert found.message(FINISHED) == message(FINISHED)


@pytest.mark.parametrize(
    "text",
    [
        "{{ rollback.nothing.at_all }}",
        "{{ 1 / 0 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% for _ in range(10**9) %}x{% endfor %}",
        "{% include 'other.j2' %}",
        "  \n ",
    ],
)
def test_a_template_that_fails_when_it_is_used_leaves_our_words(tmp_path, text):
    assert loaded(tmp_path, text).message(FINISHED) == message(FINISHED)


def test_what_a_template_makes_is_plain_text_of_bounded_length(tmp_path):
    said = loaded(tmp_path, "a\u202eb\n" + "x" * 9000 + "\x1b").message(FINISHED)
    assert "\u202e" not in said.title
    assert len(said.text) <= templates.MOST_TEXT


def test_other_files_and_unknown_events(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    [problem] = loaded(tmp_path, "x", "finnished.j2").problems
    assert "finnished" in problem
    [problem] = templates.load(tmp_path / "nowhere").problems
    assert "cannot be read" in problem


def test_check_tells_of_a_broken_template(tmp_path, capsys):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "started.j2").write_text("{{ oops")
    file = tmp_path / "rearguard.yaml"
    file.write_text(
        "environment: production\njournal: sqlite:///tmp/j.db\nprometheus: {url: 'http://p'}\n"
        "notice_templates: words\n"
        "targets: [{name: t, match: {a: b}, release: {command: {current: [x], rollback: [x]}}}]\n"
    )
    assert main(["check", "--config", str(file)]) == 0
    assert "started.j2 is not used, our own words are" in " ".join(capsys.readouterr().out.split())
