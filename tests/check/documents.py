"""Pages of Markdown as data: prose and its sentences, headings, links, tables.

Here: reading every page but tests/mutants/RESULT.md, a table that a campaign makes.
Never here: what is right (test_documents.py says that).
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *(ROOT / f"{folder}/README.md" for folder in ("controller", "exporter", "examples", "tests")),
        *ROOT.glob("deploy/*/README.md"),
        *ROOT.glob("examples/*/README.md"),
    ]
)

_FENCE = re.compile(r"^ *```.*?^ *```[^\n]*$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_ITEM = re.compile(r"^ *(?:[-*]|\d+\.) +", re.MULTILINE)
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])[)\"'*_]*\s+(?=[\"'(*_`]*[A-Z0-9`])")
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Page:
    """One page, without code blocks and comments."""

    text: str

    def paragraphs(self) -> list[str]:
        """Prose: paragraphs and items of lists, each in one line. No headings, tables, images."""
        found = []
        for block in re.split(r"\n\s*\n", self.text):
            prose = "\n".join(line for line in block.splitlines() if not re.match(r"^\s*(\||#|>?\s*!\[)", line))
            found += [" ".join(part.split()) for part in _ITEM.split(prose)]
        return [each for each in found if each]

    def anchors(self) -> set[str]:
        """What a link may name after `#`, as GitHub makes it from headings."""
        made: set[str] = set()
        for heading in re.findall(r"^#+ +(.+?)\s*$", self.text, re.MULTILINE):
            plain = re.sub(r"[^\w\- ]", "", _LINK.sub(r"\1", heading).lower()).replace(" ", "-")
            name, number = plain, 0
            while name in made:
                number += 1
                name = f"{plain}-{number}"
            made.add(name)
        return made

    def links(self) -> list[str]:
        """Where links and images lead."""
        text = re.sub(r"`[^`\n]*`", "", self.text)
        return [where for _, where in _IMAGE.findall(text)] + [
            where for _, where in _LINK.findall(_IMAGE.sub("", text))
        ]


def page(path: Path) -> Page:
    """Read one page."""
    return Page(_COMMENT.sub("", _FENCE.sub("", path.read_text())))


def sentences(paragraph: str) -> list[str]:
    """A paragraph's sentences; one ends at `.`, `!` or `?` before a capital letter, a number or code."""
    return _SENTENCE_ENDS.split(paragraph)


def words(text: str) -> int:
    """How many words; code is one word, whatever is in it, and so is an address."""
    plain = re.sub(r"`[^`]*`", "code", _LINK.sub(r"\1", text))
    return sum(1 for each in plain.split() if _WORD.search(each))


def table_after(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    rest = text.partition(f"\n{heading}\n")[2]
    rows = re.search(r"(?:^\|[^\n]*\n)+", rest, re.MULTILINE)
    assert rows, f"no table below {heading!r}"
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[0].splitlines()[2:]]
