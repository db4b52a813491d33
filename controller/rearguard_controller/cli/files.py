"""The commands files and schema: lists what comes with Rearguard (rules, routes, dashboards, schema), or writes it.

Here: where these files lie, in an installed package and in a clone of the repository. They stand once, in the
repository's folders; pyproject.toml puts them into the package's folder `shipped` when a wheel is built.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import rearguard_controller
from rearguard_controller.cli import terminal
from rearguard_controller.errors import ConflictError, NotFoundError, RearguardError, WrongUseError

OF_CONTROLLER = "configuration.schema.json"  # beside it lies that of the stand-alone exporter
SHIPPED = "shipped"  # the folder in an installed package
KINDS: Mapping[str, str] = {  # kind -> its folder in the repository
    "rules": "rules",
    "alertmanager": "deploy/alertmanager",
    "grafana": "grafana",
    "schema": "docs/schema",
}
OPTIONAL = "optional/"  # the folder of rules that only some services need
NOT_SHIPPED = {
    "tests",
    "tools",
}  # folders: the tests state the numbers of the repository, the tools build what is shipped


@dataclass(frozen=True, slots=True)
class File:
    """One file: its kind, its path below the folder of its kind, and where it lies."""

    kind: str
    path: str
    at: Traversable

    @property
    def name(self) -> str:
        """Its path when files of all kinds are written to one folder."""
        return f"{self.kind}/{self.path}"


def files(options: Namespace) -> int:
    """List the files, or write them to `--to`: those of one kind into it, those of all kinds into a folder each.

    Raises:
        WrongUseError: --force without --to.
        NotFoundError: this installation has none.
        ConflictError: a file that differs is there already, and --force was not given; nothing was written.
        RearguardError: a file cannot be written.
    """
    if options.force and options.to is None:
        raise WrongUseError("--force means something together with --to only.", hint="Add --to FOLDER.")
    found = shipped(options.kind)
    if options.to is None:
        _list(options, found)
        return 0
    folder = Path(options.to)
    places = {folder / (file.path if options.kind else file.name): file.at.read_bytes() for file in found}
    try:
        _refuse_to_overwrite(places, folder, force=options.force)
        for place, content in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    except OSError as error:
        raise RearguardError(
            f"{error.filename} cannot be written: {error.strerror}.",
            hint="--to names a folder, which is made if it is missing.",
        ) from None
    if not terminal.as_asked(options, {"written": [str(place) for place in places]}):
        for place in places:
            terminal.line(str(place))
    return 0


def schema(_: Namespace) -> int:
    """Print the JSON schema of the configuration file, as it is shipped.

    Raises:
        NotFoundError: this installation has none.
    """
    for file in shipped("schema"):
        if file.at.name != OF_CONTROLLER:
            continue
        sys.stdout.write(file.at.read_text(encoding="utf-8"))
    return 0


def shipped(kind: str | None = None) -> list[File]:
    """The files of one kind or of all, by kind and path.

    Raises:
        NotFoundError: a kind has none, because the installation is not whole.
    """
    found = []
    for each in KINDS if kind is None else (kind,):
        of_kind = sorted(_below(_folder(each)))
        if not of_kind:
            raise NotFoundError(f"This installation has no {each} files.", hint="Install Rearguard again.")
        found += [File(each, path, at) for path, at in of_kind]
    return found


def _folder(kind: str) -> Traversable:
    installed = resources.files(rearguard_controller) / SHIPPED / kind
    if installed.is_dir():
        return installed
    return Path(rearguard_controller.__file__).parents[2] / KINDS[kind]


def _below(folder: Traversable, before: str = "") -> Iterator[tuple[str, Traversable]]:
    if not folder.is_dir():
        return
    for each in folder.iterdir():
        if not each.is_dir():
            yield f"{before}{each.name}", each
        elif each.name not in NOT_SHIPPED:
            yield from _below(each, f"{before}{each.name}/")


def _list(options: Namespace, found: list[File]) -> None:
    told = {"files": [{"kind": file.kind, "path": file.path, "at": str(file.at)} for file in found]}
    if not terminal.as_asked(options, told):
        terminal.table(("KIND", "FILE", "LIES AT"), [[file.kind, file.path, file.at] for file in found])
        terminal.note("Write them to a folder with: rearguard files KIND --to FOLDER")


def _refuse_to_overwrite(places: Mapping[Path, bytes], folder: Path, *, force: bool) -> None:
    differing = [
        str(place.relative_to(folder))
        for place, content in places.items()
        if place.exists() and place.read_bytes() != content
    ]
    if differing and not force:
        raise ConflictError(
            f"{folder} holds other versions of {', '.join(differing)}; nothing was written.",
            hint="Take another folder, or overwrite what is there with --force.",
        )


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {"files": files, "schema": schema}
