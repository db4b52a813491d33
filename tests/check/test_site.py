"""The documents as a site: every page is in the menu, every link leads somewhere, nobody else is asked."""

import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src"}  # and the `href` of a `link`, see below


class Page(HTMLParser):
    """Where a page leads, what it loads, and what can be led to in it."""

    def __init__(self, text):
        super().__init__()
        self.leads, self.loads, self.anchors = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given.get("id"), given.get("name")} - {None}
        if tag == "a" and given.get("href"):
            self.leads.append(given["href"])
        if tag in LOADS and given.get(LOADS[tag]):
            self.loads.append(given[LOADS[tag]])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.loads.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    program = ROOT / ".local/docs/bin/mkdocs"
    assert program.exists(), "run: make setup"
    words = [program, "build", "--strict", "--quiet", "--site-dir", str(folder)]
    silent = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, check=False, cwd=ROOT, env=silent, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_docs_is_there_and_in_the_menu(site):
    menu = (site / "index.html").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()
        assert f'href="{page.stem}.html"' in menu, f"{page.name} is not in the menu: name it in mkdocs.yml"


def test_every_link_leads_to_a_file_and_every_anchor_to_a_place_in_it(site):
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}
    wrong = []
    for path, page in pages.items():
        for to in page.leads + page.loads:
            where, anchor = urldefrag(unquote(to))
            if re.match(r"[a-z]+:", where):
                continue
            there = (path.parent / where).resolve() if where else path
            there = there / "index.html" if there.is_dir() else there
            if not there.is_file() or (anchor and there in pages and anchor not in pages[there].anchors):
                wrong.append((str(path.relative_to(site)), to))
    assert not wrong


def test_a_page_loads_nothing_from_anybody_else(site):
    for path in site.rglob("*.html"):
        loads = Page(path.read_text()).loads
        assert loads
        assert not [each for each in loads if re.match(r"(https?:)?//", each)], path
