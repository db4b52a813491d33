"""The documents: what they name exists, links lead somewhere, and the English is short enough to be read once."""

import re
import tomllib

import pytest

from check.documents import PAGES, ROOT, page, sentences, table_after, words

CONTROLLER = ROOT / "controller" / "rearguard_controller"
EXPORTER = ROOT / "exporter" / "rearguard_exporter"
LONGEST_MEAN = 16  # words of a sentence, on average over a page
LONGEST_PARAGRAPH = 80  # words
NOT_MEASURED = {"CHANGELOG.md"}  # its entries are lists of names
ELSEWHERE = re.compile(
    r"\bits plan\b|\bthe contract\b|\bSEMANTICS\b|\b(?:CONTRACT|DESIGN|STYLE)\.md\b", re.IGNORECASE
)
MADE = {"dist/"}  # by a command that the page names
STOPS = ("receive", "parse", "accept", "judge", "decide", "next move", "act", "close")


def name(path):
    return path.relative_to(ROOT).as_posix()


def too_long(path):
    """What is wrong with a page's English, with the longest places first."""
    prose = page(path).paragraphs()
    counted = sorted(((words(each), each) for paragraph in prose for each in sentences(paragraph)), reverse=True)
    mean = sum(count for count, _ in counted) / len(counted)
    wrong = [f"{words(each)} words: {each}" for each in prose if words(each) > LONGEST_PARAGRAPH]
    if mean >= LONGEST_MEAN:
        longest = "".join(f"\n  {count} words: {each}" for count, each in counted[:5])
        wrong.append(f"a sentence has {mean:.1f} words on average; the longest are:{longest}")
    return wrong


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_sentences_and_paragraphs_are_short(path):
    assert name(path) in NOT_MEASURED or too_long(path) == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_to_files_and_headings_that_exist(path):
    broken = []
    for link in page(path).links():
        if re.match(r"[a-z]+:", link):
            continue
        where, _, anchor = link.partition("#")
        to = (path.parent / where).resolve() if where else path
        if not to.exists() or (anchor and anchor not in page(to).anchors()):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_no_page_speaks_of_documents_that_are_not_in_the_repository(path):
    assert ELSEWHERE.findall(path.read_text()) == []


@pytest.mark.parametrize(
    ("heading", "package"), [("The controller, room by room", CONTROLLER), ("Inside the exporter", EXPORTER)]
)
def test_the_rooms_and_files_of_the_architecture_are_those_of_the_tree(heading, package):
    text = (ROOT / "docs/architecture.md").read_text()
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    tree = [each.name for each in package.iterdir() if any(each.glob("*.py"))]
    tree += [each.name for each in package.glob("*.py") if each.name != "__init__.py"]
    assert sorted(told) == sorted(tree)


def test_the_floors_of_the_architecture_are_those_of_the_import_contract():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each.get("containers") == ["rearguard_controller"]]
    floor = {name: number for number, layer in enumerate(layers) for name in layer.split(" | ")}
    rows = table_after((ROOT / "docs/architecture.md").read_text(), "## Who imports whom")
    told = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(told) == sorted(floor)
    assert [floor[name] for name in told] == sorted(floor.values())


def test_the_eight_stops_stand_in_their_order_in_both_tables():
    text = (ROOT / "docs/architecture.md").read_text()
    numbered = [f"{number} {stop}" for number, stop in enumerate(STOPS, start=1)]
    rooms = ", ".join(row[1] for row in table_after(text, "## The controller, room by room")[:-1])
    assert list(dict.fromkeys(rooms.split(", "))) == numbered
    assert [row[0] for row in table_after(text, "## The eight stops")] == numbered


@pytest.mark.parametrize("guide", ["docs/architecture.md", "CONTRIBUTING.md", "tests/README.md"])
def test_every_file_that_a_page_for_developers_names_exists(guide):
    roots = (ROOT, CONTROLLER, EXPORTER, ROOT / "tests")
    code = re.findall(r"`([^`\s]+)`", page(ROOT / guide).text)
    named = {each for each in code if re.fullmatch(r"[\w./-]+(?:\.\w{2,4}|/)", each)} - MADE
    assert sorted(each for each in named if not any((root / each).exists() for root in roots)) == []


def test_the_picture_shows_every_room_and_stop_as_text_and_says_what_it_shows():
    picture = (ROOT / "docs/architecture.svg").read_text()
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    rooms = [each.name for each in CONTROLLER.iterdir() if any(each.glob("*.py"))]
    assert [each for each in rooms if each not in shown] == []
    assert [each for each in STOPS if not any(each in text for text in shown)] == []
    (alternative,) = re.findall(r"<desc[^>]*>([^<]*)</desc>", picture)
    assert [each for each in rooms if not re.search(rf"\b{each}\b", alternative)] == []


def test_every_kit_of_the_tests_stands_in_their_table():
    kits = [each for each in (ROOT / "tests").rglob("*.py") if not each.name.startswith("test_")]
    tree = [each.relative_to(ROOT / "tests").as_posix() for each in kits if each.name != "conftest.py"]
    told = [
        kit
        for row in table_after((ROOT / "tests/README.md").read_text(), "## Which kit to use")
        for kit in re.findall(r"`([^`]+\.py)`", row[1])
    ]
    assert sorted(set(tree) - set(told)) == []
