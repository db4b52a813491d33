"""What people wrote to be said instead: one Jinja2 file for each event, `finished.j2`, whose first line is the title.

Here: reading the files, what is wrong with them, and a message in their words. A template makes plain text: each
service escapes it as it escapes ours. One that is broken is told of, and the built-in words are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import SandboxedEnvironment

from rearguard_controller import wording
from rearguard_controller.adapters.notices.message import Message, message
from rearguard_controller.adapters.notices.notice import Notice
from rearguard_controller.config.named_files import UnreadableFileError, read_text
from rearguard_controller.model import NoticeEvent

log = structlog.get_logger(__name__)

ENDING = ".j2"
NAMES = frozenset(  # what a template may use
    [
        "event",
        "at",
        "target",
        "alert",
        "decision",
        "rollback",
        "release",
        "step",
        "title",
        "text",
        "facts",
        "severity",
        "link",
        "service",
        "environment",
    ]
)
MOST_TEXT = 5000  # characters
_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


@dataclass(frozen=True, slots=True)
class Templates:
    """Templates by event; `problems` are sentences about files that cannot be used."""

    by_event: Mapping[NoticeEvent, Template] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def message(self, notice: Notice, external_url: str | None = None) -> Message:
        """The message of a notice in the words of its template, or in our own where there is none, or it fails."""
        ours = message(notice, external_url)
        template = self.by_event.get(notice.event)
        if template is None:
            return ours
        try:
            said = template.render(_names(ours)).strip()
        except Exception as error:  # noqa: BLE001  # what somebody wrote may fail in any way
            log.error("notice_template_failed", template=f"{notice.event}{ENDING}", why=_plain(error))
            return ours
        title, _, text = said.partition("\n")
        if not title.strip():
            log.error("notice_template_failed", template=f"{notice.event}{ENDING}", why="it made an empty title")
            return ours
        clean = wording.printable(text.strip()[:MOST_TEXT], keep="\n")
        return replace(ours, title=wording.printable(wording.one_line(title.strip())), text=clean)


def load(folder: Path | None) -> Templates:
    """The templates of a folder; None has none. It reads files."""
    if folder is None:
        return Templates()
    found, problems = dict[NoticeEvent, Template](), list[str]()
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == ENDING)
    except OSError as error:
        return Templates(problems=(f"The templates in {folder} cannot be read: {error.strerror}.",))
    for file in files:
        try:
            found[NoticeEvent(file.stem)] = _template(file)
        except (ValueError, UnreadableFileError, TemplateError) as error:
            problems.append(f"The template {file} is not used, our own words are: {_plain(error)}.")
    return Templates(found, tuple(problems))


def _template(file: Path) -> Template:
    """One template.

    Raises:
        ValueError: it uses a name that there is not.
        UnreadableFileError, TemplateError: it cannot be read, or is none.
    """
    text = read_text(file)
    unknown = sorted(meta.find_undeclared_variables(_ENVIRONMENT.parse(text)) - NAMES)
    if unknown:
        raise ValueError(f"it uses {unknown[0]}, which there is not; there are {', '.join(sorted(NAMES))}")
    return _ENVIRONMENT.from_string(text)


def _names(ours: Message) -> dict[str, object]:
    body: dict[str, object] = dict.fromkeys(("alert", "decision", "rollback", "release", "step"))
    body.update(ours.body or {})
    return {
        **body,
        "title": ours.title,
        "text": ours.text,
        "facts": dict(ours.facts),
        "severity": ours.severity.value,
        "link": ours.link or "",
        "service": ours.service,
        "environment": ours.environment,
    }


def _plain(error: Exception) -> str:
    """What is wrong, on one line; of a mistake in a template with its line."""
    if isinstance(error, TemplateSyntaxError):
        return f"line {error.lineno}: {error.message}"
    return wording.printable(wording.one_line(str(error) or type(error).__name__))[:300]
