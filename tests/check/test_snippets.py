"""What a reader would copy from the documents: every command is one that there is, every configuration is valid."""

import re
import shlex
import subprocess

import pytest
import yaml
from jsonschema import Draft202012Validator

from check.documents import PAGES, ROOT
from local_stack.binaries import environment, find
from rearguard_controller.cli.arguments import parser
from rearguard_controller.config.keys.schema import schema

BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(rearguard [a-z][^`\n]*)`")
KEYS = schema()["properties"]
OF_TODAY = [path for path in PAGES if path.name != "CHANGELOG.md"]  # which names what is gone


def name(path):
    return str(path.relative_to(ROOT))


def commands(text):
    """Every line that a reader would type, or that a sentence names, of our own program."""
    for _, kind, block in BLOCK.findall(text):
        if kind not in ("console", "sh", "shell", "bash"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            typed = line.strip().removeprefix("$ ")
            if typed.startswith("rearguard "):
                yield typed
    yield from INLINE.findall(text)


def words(command):
    """The arguments that the program gets, with those that may be left out; no comments, pipes and redirections."""
    found = shlex.split(re.sub(r"\[(--.*?)\]", r"\1", command), comments=True)
    ends = [at for at, each in enumerate(found) if each in ("|", "<", ">", ">>", "&&", ";")]
    return found[1 : ends[0] if ends else None]


@pytest.mark.parametrize("path", OF_TODAY, ids=name)
def test_every_command_is_one_that_there_is(path, capsys):
    known, wrong = set(parser()._subparsers._group_actions[0].choices), []
    for command in commands(path.read_text()):
        given = words(command)
        if given[0] in known and len(given) == 1:
            continue  # a sentence that names it
        try:
            parser().parse_args(given)
        except SystemExit as ended:
            if ended.code:
                wrong.append((command, capsys.readouterr().err.splitlines()[-1:]))
    assert wrong == []


def written(text):
    """Each block of YAML that stands by itself; others have our placeholders or a few lines of something larger."""
    for _, kind, block in BLOCK.findall(text):
        lines = block.splitlines()
        if kind != "yaml" or not lines:
            continue
        indent = len(lines[0]) - len(lines[0].lstrip())
        text_alone = "\n".join(line[indent:] for line in lines)
        try:
            found = yaml.safe_load(text_alone)
        except yaml.YAMLError:
            continue
        if isinstance(found, dict) and found:
            yield text_alone, found


@pytest.mark.parametrize("path", OF_TODAY, ids=name)
def test_every_configuration_is_valid(path):
    for _, found in written(path.read_text()):
        for key, value in found.items() if found.keys() <= KEYS.keys() else ():
            Draft202012Validator({"$defs": schema().get("$defs", {}), **KEYS[key]}).validate(value)


@pytest.mark.parametrize(("key", "kind"), [("groups", "rules"), ("scrape_configs", "config")])
def test_prometheus_takes_the_rules_and_scrapes_of_the_documents(tmp_path, key, kind):
    number = 0
    for path in OF_TODAY:
        for block, found in written(path.read_text()):
            if key not in found:
                continue
            number += 1
            file = tmp_path / f"{number}.yml"
            file.write_text(block)
            words = [find("promtool"), "check", kind, *(["--syntax-only"] if kind == "config" else []), str(file)]
            done = subprocess.run(
                words, check=False, env=environment(), capture_output=True, text=True, timeout=60, cwd=tmp_path
            )
            assert done.returncode == 0, f"{name(path)}: {done.stdout}{done.stderr}"
    assert number


@pytest.mark.parametrize("path", OF_TODAY, ids=name)
def test_what_is_installed_is_in_the_clone(path):
    """No index of packages has us: `pip install rearguard` finds nothing."""
    assert re.findall(r"pip install '?rearguard[^`\n]*", path.read_text()) == []


README_LINES, COLUMNS = 3 * 45, 100  # three screens, as a browser shows the page
PICTURE_LINES = 14


def test_the_readme_fits_on_three_screens():
    lines = 0
    for line in (ROOT / "README.md").read_text().splitlines():
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line).strip("| ")
        if line.startswith("!["):
            lines += PICTURE_LINES
        elif not re.fullmatch(r"[|\s-]+", line) or not line:
            lines += max(1, -(-len(shown) // COLUMNS))
    assert lines <= README_LINES, lines


def test_every_message_of_troubleshooting_is_one_that_somebody_may_see():
    page = (ROOT / "docs/troubleshooting.md").read_text()
    said = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert len(said) > 20
    sources = [path.read_text() for path in (ROOT / "controller/rearguard_controller").rglob("*.py")]
    told = [re.sub(r'"\s*\n\s*f?"', "", text) for text in sources]  # a sentence may stand in several lines
    assert [each for each in said if not any(each in text for text in told)] == []
