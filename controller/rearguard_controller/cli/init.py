"""The command init: looks at what Prometheus shows, and writes a folder that is enough to begin with.

Here: the flags, the folder, and the table of what was found. It asks nothing, changes nothing elsewhere, starts
nothing, and never overwrites.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import shutil
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from rearguard_controller import config
from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.backtest import survey
from rearguard_controller.backtest.services import Service, Survey
from rearguard_controller.cli import files, first_files, prometheus_access, terminal
from rearguard_controller.cli.first_files import ROLES, Setting
from rearguard_controller.config import AlertmanagerSettings, PrometheusSettings
from rearguard_controller.errors import ConflictError, NotFoundError, RearguardError, WrongUseError, sentences
from rearguard_controller.wording import number, span

TIMEOUT = 20.0  # seconds for one question
MOST_PROBLEMS = 30  # that are printed; the file has them all
SECRET, PUBLIC = 0o600, 0o644


def init(options: Namespace) -> int:
    """Look, and write the folder.

    Raises:
        WrongUseError: an address or a combination of flags makes no sense.
        ConflictError: the folder holds something already.
        NotFoundError: Prometheus shows no service.
        RearguardError: Prometheus does not answer, or the folder cannot be written.
    """
    folder = Path(options.to).absolute()
    _refuse_to_overwrite(folder)
    asked = PrometheusSettings(
        urls=(_base(options.prometheus, "--prometheus"),), http=prometheus_access.given(options)
    )
    alertmanager = None if options.alertmanager is None else _base(options.alertmanager, "--alertmanager")
    try:
        found, away = asyncio.run(_look(asked, alertmanager))
    except RearguardError as error:
        raise prometheus_access.by_flags(error) from error
    if not found.services and not any(map(first_files.usable, found.plain)):
        raise NotFoundError(_nothing(found), hint="Begin with ten lines in the service: exporter/README.md.")
    setting = Setting(
        folder=folder,
        prometheus=asked.urls[0],
        alertmanager=alertmanager,
        access=tuple(prometheus_access.lines(options)),
        listen=options.listen,
        environment=options.environment,
        now=time.time(),
    )
    written = _write(found, setting)
    if not terminal.as_asked(options, _told(found, folder, written)):
        _show(found, setting, away)
    return 0


async def _look(settings: PrometheusSettings, alertmanager: str | None) -> tuple[Survey, str]:
    """What Prometheus shows, and why Alertmanager does not answer, if it does not."""
    prometheus = Prometheus(settings, timeout=TIMEOUT, clock=time.time)
    try:
        found = await survey.look(prometheus)
    finally:
        await prometheus.close()
    if alertmanager is None:
        return found, ""
    asked = Alertmanager(AlertmanagerSettings((alertmanager,)))
    try:
        await asked.reachable()
    except RearguardError as error:
        return found, sentences(prometheus_access.by_flags(error))
    finally:
        await asked.close()
    return found, ""


# --- flags ------------------------------------------------------------------------------------------------------


def _base(url: str, flag: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url or "?" in url or "#" in url:
        raise WrongUseError(f"{url!r} is no address.", hint=f"Write {flag} http://host:port.")
    if "@" in parts.netloc:
        raise WrongUseError(
            "User and password do not belong into an address.", hint="Write --username NAME --password-file FILE."
        )
    return url.rstrip("/").removesuffix("/api/v1")


# --- the folder -------------------------------------------------------------------------------------------------


def _refuse_to_overwrite(folder: Path) -> None:
    try:
        taken = folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir())))
    except OSError as error:
        raise RearguardError(f"{folder} cannot be looked at: {error.strerror}.", hint="Take another: --to.") from None
    if taken:
        raise ConflictError(
            f"{folder} is there already; nothing was written.", hint="Name another folder with --to, or move it away."
        )


def _write(found: Survey, setting: Setting) -> list[str]:
    """Write the folder beside its place, look whether its configuration can be used, and move it there.

    Returns:
        The names of the files, the configuration first.

    Raises:
        RearguardError: it cannot be written.
    """
    folder = setting.folder
    made = dict(_files(found, setting))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name, (content, mode) in made.items():
                _file(beside / name, content, mode)
            config.parse(made["rearguard.yaml"][0].decode(), file=f"{folder}/rearguard.yaml", folder=folder)
            beside.chmod(0o755)
            beside.rename(folder)  # onto an empty folder, too
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except OSError as error:
        raise RearguardError(
            f"{folder} cannot be written: {error.strerror}.", hint="Name another folder with --to."
        ) from None
    return list(made)


def _files(found: Survey, setting: Setting) -> Iterator[tuple[str, tuple[bytes, int]]]:
    texts = {
        "rearguard.yaml": first_files.configuration(found, setting),
        "prometheus-snippet.yml": first_files.prometheus_snippet(found, setting),
        "alertmanager-snippet.yml": first_files.alertmanager_snippet(setting),
    }
    if found.plain:
        texts["own-alerts.yml"] = first_files.own_alerts(found)
    for name, text in texts.items():
        yield name, (text.encode(), PUBLIC)
    for role in ROLES:
        token = secrets.token_hex(24)  # Alertmanager sends the whole file of the sender, so no name stands before it
        yield f"tokens/{role}", ((f"{token}\n" if role == "sender" else f"me:{token}\n").encode(), SECRET)
    for file in files.shipped("rules"):
        if file.path.endswith(".yml"):
            yield f"rules/{file.path}", (file.at.read_bytes(), PUBLIC)
    for file in files.shipped("schema"):
        if file.path == first_files.SCHEMA_FILE:
            yield file.path, (file.at.read_bytes(), PUBLIC)


def _file(path: Path, content: bytes, mode: int) -> None:
    secret = mode == SECRET
    path.parent.mkdir(mode=0o700 if secret else 0o755, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


# --- what was found ---------------------------------------------------------------------------------------------


def _nothing(found: Survey) -> str:
    told = (
        "Prometheus shows no service that can be observed: no target_info with a service_name. Nothing was written."
    )
    if found.plain:
        jobs = first_files.names([each.job for each in found.plain])
        return f"{told} These jobs count requests and tell no version: {jobs}."
    return f"{told} It scrapes: {first_files.names(found.others) or 'nothing'}."


def _show(found: Survey, setting: Setting, away: str) -> None:
    columns = ("SERVICE", "ENVIRONMENT", "VERSION", "SINCE", "INSTANCES", "REQUESTS/S", "ERRORS", "RELEASES (14d)")
    rows = [_row(each, setting.now) for each in found.services]
    rows += [
        [f"job {each.job}", None, None, None, each.instances, _rate(each.requests), _percent(each.errors), None]
        for each in found.plain
    ]
    terminal.table(columns, rows)
    _problems(found)
    if found.others:
        terminal.line(f"\nLeft out, because they count no requests: {first_files.names(found.others)}.")
    if away:
        terminal.line(f"\n{away}")
    folder = _short(setting.folder)
    terminal.heading(f"Written to {folder}: every service is a target, and all are only observed")
    merge = "The rules are loaded already. " if found.rules_loaded else ""
    terminal.line(f"1. {merge}Merge {folder}/prometheus-snippet.yml into prometheus.yml, and reload Prometheus.")
    wait = "" if setting.alertmanager else " This can wait: without it, alerts are found by polling."
    terminal.line(f"2. Merge {folder}/alertmanager-snippet.yml into alertmanager.yml, and reload Alertmanager.{wait}")
    terminal.line(f"3. rearguard serve --config {shlex.quote(f'{folder}/rearguard.yaml')}")
    token = shlex.quote(f"{folder}/tokens/operator")
    url = "" if setting.listen.endswith(":9465") else f"REARGUARD_URL=http://{setting.listen} "
    terminal.line(f"4. {url}REARGUARD_TOKEN_FILE={token} rearguard status")
    terminal.line(f"What is still in the way: rearguard check --live --config {folder}/rearguard.yaml")


def _problems(found: Survey) -> None:
    told = [
        f"{each.name}{f' ({each.environment})' if each.environment else ''}: {problem}."
        for each in found.services
        for problem in each.problems
    ]
    told += [f"job {each.job}: {each.problem}." for each in found.plain]
    if not told:
        return
    terminal.heading("What is wrong")
    for sentence in told[:MOST_PROBLEMS]:
        terminal.paragraph(sentence, hanging=2)
    if len(told) > MOST_PROBLEMS:
        terminal.line(f"... and {len(told) - MOST_PROBLEMS} more: each stands at its target in rearguard.yaml.")


def _row(each: Service, now: float) -> list[object]:
    since = None if each.since is None else span(max(0.0, now - each.since))
    shown = ", ".join(each.versions[:2]) or None
    many = [each.instances, _rate(each.requests), _percent(each.errors)]
    return [each.name, each.environment, shown, since, *many, None if each.releases is None else str(each.releases)]


def _rate(requests: float | None) -> str | None:
    return None if requests is None else number(requests, 3)


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{number(share * 100, 2)} %"


def _short(folder: Path) -> str:
    """The folder as people type it from where they are."""
    try:
        return str(folder.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(folder)


def _told(found: Survey, folder: Path, written: list[str]) -> dict[str, object]:
    return {
        "folder": str(folder),
        "written": written,
        "rules_loaded": found.rules_loaded,
        "services": [
            {
                "service": each.name,
                "environment": each.environment,
                "versions": list(each.versions),
                "instances": each.instances,
                "requests_per_second": each.requests,
                "error_share": each.errors,
                "releases": each.releases,
                "problems": list(each.problems),
            }
            for each in found.services
        ],
        "without_target_info": [
            {"job": each.job, "counter": each.counter, "requests_per_second": each.requests, "problem": each.problem}
            for each in found.plain
        ],
        "left_out": list(found.others),
    }
