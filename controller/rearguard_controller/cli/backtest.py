"""The command backtest: shows what would have been rolled back in the past, beside what people did.

Here: reading the time range, the progress on standard error, and the tables. The room `backtest` does the rest.
"""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

from rearguard_controller import backtest, config
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.backtest.drawing import left_alone
from rearguard_controller.backtest.nouns import Record, World
from rearguard_controller.backtest.raw_rules import NOTE, WithRawRules
from rearguard_controller.backtest.report import OnlyPeople, Report, Rollback
from rearguard_controller.cli import found_services, html_file, prometheus_access, terminal
from rearguard_controller.cli.progress import Bars
from rearguard_controller.config import Configuration, PrometheusSettings
from rearguard_controller.errors import (
    ConfigError,
    InvalidInputError,
    NotFoundError,
    SourceError,
    WrongUseError,
    sentences,
)
from rearguard_controller.judgement.policy import PERMISSIONS
from rearguard_controller.model import Decision
from rearguard_controller.times import durations
from rearguard_controller.times.moments import bounded
from rearguard_controller.wording import address, meant, moment, some, span

TIMEOUT = 60.0  # seconds for one query; some read a week of a series
EVERY = 5.0  # seconds between two lines of progress when standard error is no terminal
MOST_LEFT = 50  # lines of the table "Left alone"
MOST_AT_FIRST = 8  # the same of a first back-test, whose result fits one screen
EVALUATED = "its expression was evaluated instead."  # which NOTE says of the raw rules already
APART = "Each Prometheus was judged by itself: a storm over several, or a dependency of another one, is not seen."
USUAL_FILE = "rearguard.yaml"
SHORTEST = 60.0  # seconds; a shorter range cannot be judged


def run(options: Namespace) -> int:
    """Judge the past.

    Raises:
        WrongUseError: the time range or an address makes no sense.
        RearguardError: the configuration cannot be used, the target does not exist, or Prometheus does not answer.
    """
    now = time.time()
    start, end = _time(options.since, now, "--since"), _time(options.until or "0s", now, "--until")
    if not start + SHORTEST <= end <= now:
        raise WrongUseError(
            f"The time from {moment(start)} to {moment(end)} is none that can be judged.",
            hint="--since lies before --until, at least a minute, and --until not in the future.",
        )
    without_file = _is_without_file(options)
    found, notes = _found(options) if without_file else (_read(options), ())
    names = [target.name for target in found.targets]
    if options.target is not None and options.target not in names:
        raise NotFoundError(
            f"There is no target {options.target!r}.",
            hint=f"{meant(options.target, names)}{'Found' if without_file else 'Configured'} targets: {some(names)}.",
        )
    if options.prometheus is not None:  # all are judged by that one
        found = replace(found, targets=tuple(replace(target, prometheus="") for target in found.targets))
    asked = _asked(found, options)
    worlds, lacking = _worlds(found, asked, start, end, raw=without_file)
    named = {settings.name: f"{settings.name}-" if len(asked) > 1 else "" for settings in asked}
    reports = [backtest.compare(world, backtest.replay(world, named[name])) for name, world in worlds.items()]
    if options.target is not None:
        reports = [report.only(options.target) for report in reports]
    report = reduce(Report.joined, reports)
    report = replace(report, notes=(*notes, *([APART] if len(asked) > 1 else []), *lacking, *report.notes))
    urls = [address(url) for settings in asked for url in settings.urls]
    if options.html is not None:
        main = backtest.drawn(tuple(worlds.values()), reports)
        _write(options.html, report, main, ", ".join(urls))
    if options.html == html_file.STANDARD_OUTPUT:
        return 0
    if options.output != terminal.TABLE:
        terminal.as_asked(options, {"prometheus": urls, **report.shape()})
    else:
        _show(report, ", ".join(urls), most=MOST_AT_FIRST if without_file else MOST_LEFT)
    return 0


def _is_without_file(options: Namespace) -> bool:
    """Whether only Prometheus is named: then its services are the targets."""
    return options.prometheus is not None and options.config == USUAL_FILE and not Path(USUAL_FILE).exists()


def _read(options: Namespace) -> Configuration:
    """The configuration of the file.

    Raises:
        ConfigError: it cannot be used; without any file both ways are named.
    """
    if options.config == USUAL_FILE and not Path(USUAL_FILE).exists():
        raise ConfigError(
            "There is no ./rearguard.yaml, and no Prometheus is named.",
            hint="Run `rearguard backtest --prometheus URL` for all its services, or name a file with --config.",
        )
    return config.load(Path(options.config))


def _found(options: Namespace) -> tuple[Configuration, tuple[str, ...]]:
    settings = _settings(PrometheusSettings(()), options)
    try:
        return found_services.configuration(settings, TIMEOUT)
    except SourceError as error:
        raise prometheus_access.by_flags(error) from error


def _asked(found: Configuration, options: Namespace) -> list[PrometheusSettings]:
    """Every Prometheus that judges a target; one alone if the flags name it, or one target."""
    if options.prometheus is not None:
        return [_settings(replace(found.prometheus, others=()), options)]
    wanted = {each.prometheus for each in found.targets if options.target in (None, each.name)}
    return [_settings(each, options) for each in found.prometheus.each if each.name in wanted]


def _worlds(
    found: Configuration, asked: Sequence[PrometheusSettings], start: float, end: float, *, raw: bool
) -> tuple[dict[str, World], list[str]]:
    """The past by each Prometheus, by name, and why one of several has none.

    Raises:
        SourceError: no Prometheus has any.
    """
    worlds, faults = dict[str, World](), list[SourceError]()
    for each in asked:
        own = tuple(target for target in found.targets if target.prometheus == each.name)
        try:
            worlds[each.name] = asyncio.run(_world(replace(found, targets=own), each, start, end, raw=raw))
        except SourceError as error:
            faults.append(error)
            if len(faults) == len(asked):
                raise
    lacking = [f"Of some targets nothing is told. {sentences(fault)}" for fault in faults]
    return worlds, lacking


async def _world(found: Configuration, settings: PrometheusSettings, start: float, end: float, *, raw: bool) -> World:
    """The past; with `raw` by raw counters, too, where our rules were not loaded."""
    prometheus = WithRawRules(settings, timeout=TIMEOUT) if raw else Prometheus(settings, timeout=TIMEOUT)
    if isinstance(prometheus, WithRawRules):
        prometheus.start = start
    progress = Bars() if sys.stderr.isatty() else Lines()
    try:
        history = backtest.History(prometheus, found.targets, progress.say)
        world = await history.read(
            start,
            end,
            look_every=settings.poll_interval,
            storm=found.storm,
            silences=found.alertmanager is not None,
        )
    finally:
        progress.end()
        await prometheus.close()
    if isinstance(prometheus, WithRawRules) and prometheus.added:
        world = replace(
            world,
            notes=(
                NOTE,
                *(each for each in world.notes if not each.startswith("Raw") or not each.endswith(EVALUATED)),
            ),
        )
    return world


def _write(file: str, report: Report, drawn: Mapping[str, object], asked: str) -> None:
    from rearguard_controller.page import report as page_report  # noqa: PLC0415  # only this path needs templates

    main = page_report.backtest(report.shape(), drawn, report.summary(), asked)
    html_file.write(file, page_report.document("Back-test", main))


def _settings(settings: PrometheusSettings, options: Namespace) -> PrometheusSettings:
    """These settings with what the flags say instead."""
    if prometheus_access.is_given(options):
        settings = replace(settings, http=prometheus_access.given(options))
    return settings if options.prometheus is None else _instead(settings, options.prometheus)


def _instead(settings: PrometheusSettings, url: str) -> PrometheusSettings:
    """The same settings with another address; who asks, and whom it trusts, stays."""
    if not url.startswith(("http://", "https://")):
        raise WrongUseError(f"{url!r} is no address.", hint="Write --prometheus http://prometheus:9090.")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise WrongUseError(
            "User and password do not belong into an address.",
            hint="Write --username NAME --password-file FILE, or set prometheus.basic_auth in the configuration.",
        )
    return replace(settings, urls=(url.rstrip("/"),))


def _time(text: str, now: float, option: str) -> float:
    """Read an option that holds a duration before now or a time; the result is in seconds since the epoch."""
    try:
        return now - durations.parse(text)
    except InvalidInputError:
        pass
    try:
        at = datetime.fromisoformat(text)
        return bounded((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise WrongUseError(
            f"{option}: {text!r} is neither a duration nor a time.", hint="Write 14d, or 2026-01-31T18:00:00Z."
        ) from None


# --- progress ---------------------------------------------------------------------------------------------------


class Lines:
    """Shows progress as a plain line on standard error, at most one every `EVERY` seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start the first pause now; `monotonic` is a clock in seconds."""
        self._monotonic = monotonic
        self._said_at = monotonic()

    def say(self, what: str, done: int, of: int) -> None:
        """Show that `done` of the `of` queries for `what` are answered."""
        if self._monotonic() - self._said_at >= EVERY:
            self._said_at = self._monotonic()
            sys.stderr.write(f"rearguard: reading {terminal.clean(what)}, {done} of {of}\n")
            sys.stderr.flush()

    def end(self) -> None:
        """Do nothing: each line is complete."""


# --- tables -----------------------------------------------------------------------------------------------------


def _show(report: Report, asked: str, *, most: int) -> None:
    terminal.facts(
        {
            "back-test": f"{_when(report.start)} to {_when(report.end)}, {span(report.end - report.start)}",
            "Prometheus": asked,
            "targets": f"{len(report.targets)}, {_changes(sum(each[2] for each in report.targets))}",
        }
    )
    terminal.line(f"\n{backtest.REMINDER}")
    for note in report.notes:
        terminal.line(f"note: {note}")
    _rollbacks(report.rollbacks)
    _only_people(report.only_people)
    _left(report.left, most)
    terminal.line(f"\n{report.summary()}")


def _changes(count: int) -> str:
    many = f"with {count} {'change' if count == 1 else 'changes'}" if count else "without a change"
    return f"{many} of version"


def _rollbacks(given: Sequence[Rollback]) -> None:
    terminal.heading("Would have been rolled back")
    if not given:
        terminal.line("nothing")
        return
    rows = []
    for each in given:
        decision = each.record.decision
        rows.append(
            [
                _when(decision.decided_at),
                decision.target,
                decision.from_version,
                decision.to_version,
                decision.alert.name if decision.alert else None,
                decision.would.value,
                _configured(decision),
                _people(each),
            ]
        )
    columns = ("WHEN", "TARGET", "FROM", "TO", "ALERT", "WOULD", "CONFIGURED MODE", "WHAT PEOPLE DID")
    terminal.table(columns, rows)


def _configured(decision: Decision) -> str:
    """The verdict in the configured mode, and the permissions that were missing."""
    missing = [reason.code.value for reason in decision.reasons if reason.blocks and reason.code in PERMISSIONS]
    return f"{decision.verdict.value} ({', '.join(missing)})" if missing else decision.verdict.value


def _people(each: Rollback) -> str:
    if each.people is not None and each.earlier is not None:
        same = "the same" if each.people.to_version == each.record.decision.to_version else "rolled back"
        fired_on = "; the alert fired on" if each.record.helped is False else ""
        return f"{same}, to {each.people.to_version}, {span(each.earlier)} later{fired_on}"
    if each.next_change is not None:
        after = span(each.next_change.at - each.record.decision.decided_at)
        return f"no rollback; {each.next_change.version} came {after} later"
    return "nothing"


def _only_people(given: Sequence[OnlyPeople]) -> None:
    if given:
        terminal.heading("Only people rolled back")
        rows = [
            [_when(each.people.at), each.people.target, each.people.from_version, each.people.to_version, each.why]
            for each in given
        ]
        terminal.table(("WHEN", "TARGET", "FROM", "TO", "WHY NOT BY ITSELF"), rows)


def _left(given: Sequence[Record], most: int) -> None:
    """One line for each target, version, alert and obstacle, also where the obstacle came and went several times."""
    if not given:
        return
    terminal.heading("Left alone")
    rows = []
    for first, times, reason in left_alone(given):
        alert = first.alert.name if first.alert else None
        code, detail = (None, None) if reason is None else (reason.code.value, reason.detail)
        when = _when(first.decided_at)
        rows.append([when, times, first.target, first.from_version, alert, code, detail])
    columns = ("FIRST", "TIMES", "TARGET", "VERSION", "ALERT", "IN THE WAY", "BECAUSE")
    terminal.table(columns, rows[:most])
    if len(rows) > most:
        terminal.line(f"... and {len(rows) - most} more; --json has them all, --target those of one.")


def _when(seconds: float) -> str:
    return terminal.when(moment(seconds))


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {"backtest": run}
