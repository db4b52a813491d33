"""The pages of the site that lie outside `docs`, and links as the site needs them.

Here: hooks that `mkdocs.yml` names. Pages are written for GitHub: a link leads from file to file of the repository.
On the site the README is the home page, and what lies in `docs` lies at its root.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
HOME = "README.md"
OUTSIDE = (HOME, "CHANGELOG.md", "CONTRIBUTING.md", "exporter/README.md", "controller/README.md")
_CODE = re.compile(r"^ *```.*?^ *```[^\n]*$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside `docs`: the pages above, and every file that a page leads to."""
    waiting = [*OUTSIDE, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if files.get_file_from_path(_on_site(path)) is None:
            files.append(File.generated(config, _on_site(path), abs_src_path=str(ROOT / path)))
        if path.endswith(".md"):
            text = (ROOT / path).read_text()
            waiting += [to for _, to in _links(text, path) if (ROOT / to).is_file()]
    return files


def on_page_markdown(markdown: str, page: Page, **_others: object) -> str:
    """The page with its links as the site needs them."""
    here, folder = _in_repository(page.file.src_uri), posixpath.dirname(page.file.src_uri) or "."
    for found, path in reversed(list(_links(markdown, here))):
        place = posixpath.relpath(_on_site(path), folder)
        markdown = f"{markdown[: found.start(2)]}{place}{markdown[found.end(2) :]}"
    return markdown


def _links(text: str, page: str) -> Iterator[tuple[re.Match[str], str]]:
    """Each link of a page to a file or folder of the repository: its match, and the path from the root on."""
    code = {at for each in _CODE.finditer(text) for at in range(*each.span())}
    for found in _LINK.finditer(text):
        if ":" in found[2] or found.start() in code:
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), found[2]))
        guide = f"{path}/README.md"
        yield found, guide if (ROOT / guide).is_file() else path


def _on_site(path: str) -> str:
    """Where a file of the repository stands on the site."""
    return "index.md" if path == HOME else path.removeprefix("docs/")


def _in_repository(uri: str) -> str:
    """Which file of the repository a page of the site is."""
    if uri == "index.md":
        return HOME
    return uri if not (ROOT / "docs" / uri).is_file() else f"docs/{uri}"
