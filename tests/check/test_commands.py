"""What we ship to be copied, docs and deployments: every command is an argument list, none a shell line.

In a shell line an alert's text or a version could become a command; an argument list has no such place.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("deploy", "docs", "rules", "grafana", "exporter", "controller")
SHELL_LINE = re.compile(
    r"""\b(?:ba|da|a|k|z|fi)?sh\b["'\],\s-]*\s["']?-[a-z]*c\b["',\s]  # a shell, given a line: in YAML, JSON, Python
        | \bshell\s*=\s*True | \bcreate_subprocess_shell\b | \bos\.(?:system|popen)\b""",
    re.VERBOSE,
)


def shipped():
    files = [file for place in PLACES for file in (ROOT / place).rglob("*") if file.is_file()]
    for file in [*files, *ROOT.glob("*.md")]:
        try:
            yield file.relative_to(ROOT), file.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture
            continue


def test_nothing_that_is_shipped_runs_a_shell_line():
    texts = dict(shipped())
    assert {Path("docs/configuration.md"), Path("deploy/Dockerfile"), Path("README.md")} <= texts.keys()
    found = {str(name): match[0] for name, text in texts.items() if (match := SHELL_LINE.search(text))}
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        'command: [sh, -c, "exit 3"]',
        'command: ["/bin/bash", "-c", "x"]',
        "command:\n  - sh\n  - -c\n  - x",
        "command: [bash, -ec, x]",
        "run: sh -c 'x'",
        'subprocess.run(["sh", "-c", line])',
        "subprocess.run(line, shell=True)",
    ],
)
def test_a_shell_line_would_be_found(text):
    assert SHELL_LINE.search(text)


@pytest.mark.parametrize(
    "text", ["promtool check", "#!/bin/sh\ncd x", "curl -s x | sh", "python -c x", "the shell - c"]
)
def test_other_words_are_not_taken_for_one(text):
    assert not SHELL_LINE.search(text)
