"""The files that `rearguard init` writes, as text: the configuration, and what to merge elsewhere. Pure.

Text from outside (names of services, versions) is quoted in values and has no line ends in comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rearguard_controller.backtest.services import Plain, Service, Survey
from rearguard_controller.wording import clock_time, number, one_line, printable, span

ROLES = ("sender", "viewer", "operator")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")  # a value that YAML takes as text without quotes
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")  # for a target's name
SCHEMA_FILE = "configuration.schema.json"  # which the modeline names
_WIDTH = 110  # of a comment


@dataclass(frozen=True, slots=True)
class Setting:
    """What the flags say.

    Attributes:
        folder: where the files will lie, absolute.
        access: the lines that say how Prometheus is asked, as they stand below `prometheus:`.
        listen: host and port of the controller.
        environment: of services that tell none.
        now: seconds since the epoch.
    """

    folder: Path
    prometheus: str
    alertmanager: str | None
    access: Sequence[str]
    listen: str
    environment: str
    now: float


def configuration(survey: Survey, setting: Setting) -> str:
    """rearguard.yaml."""
    return "\n".join([*_head(setting), "targets:", *_targets(survey, setting)]) + "\n"


def _head(setting: Setting) -> Iterator[str]:
    yield f"# yaml-language-server: $schema={SCHEMA_FILE}"
    at = clock_time(setting.now)
    yield f"# Written by `rearguard init` at {at} from what Prometheus shows; edit it as you like."
    yield "# Every target is only observed: decisions are recorded and explained, and nothing is ever put back."
    yield ""
    yield f"environment: {value(setting.environment)}   # of targets that name none; only production acts"
    yield f"journal: {value(f'sqlite://{setting.folder}/journal.db')}"
    yield f"listen: {value(setting.listen)}   # 0.0.0.0:9465 if Prometheus or Alertmanager run elsewhere"
    yield "open: [metrics]          # Prometheus scrapes /metrics without a token"
    yield "prometheus:"
    yield f"  url: {value(setting.prometheus)}"
    yield from (f"  {each}" for each in setting.access)
    if setting.alertmanager is None:
        yield "# alertmanager: {url: http://127.0.0.1:9093}   # so that a silenced alert is left alone"
    else:
        yield f"alertmanager: {{url: {value(setting.alertmanager)}}}   # so that a silenced alert is left alone"
    yield "tokens:                  # one file each; Alertmanager sends the one of `sender`"
    yield from (f"  {role}: tokens/{role}" for role in ROLES)
    yield "policies:"
    yield "  standard:"
    yield "    mode: observe        # then ask, then act: both need a `release` that can put a version back"
    yield "    watch_window: 2h     # how long after a release an alert may be blamed on it"
    yield "    known_good_after: 15m   # how long a version must serve well before it is one to go back to"


def _targets(survey: Survey, setting: Setting) -> Iterator[str]:
    yield "  # To let one be put back, replace its release, and set the mode to ask or act. By commands of yours:"
    yield '  #   release: {command: {current: [./release, current], rollback: [./release, activate, "{to_version}"]}}'
    yield "  # or of a workload in Kubernetes: release: {kubernetes: {namespace: shop, deployment: checkout}}"
    taken: set[str] = set()
    alone = not survey.services
    for service in survey.services:
        yield from _service(service, name_of(service.name, service.environment, taken), setting)
    for job in survey.plain:
        yield from _plain(job, name_of(job.job, "", taken), commented=not (alone and usable(job)))


def usable(job: Plain) -> bool:
    """Whether a job without target_info can be observed as it is: something tells its version, and its failures."""
    return job.version is not None and bool(job.failed)


def name_of(wished: str, environment: str, taken: set[str]) -> str:
    """A name for a target that no other has; it is added to `taken`."""
    plain = _UNFIT.sub("-", wished).strip("._-")[:80] or "service"
    name, number = plain, 2
    if name in taken and environment:
        name = f"{plain}-{_UNFIT.sub('-', environment).strip('._-')[:15]}".rstrip("._-")
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    taken.add(name)
    return name


def _service(service: Service, name: str, setting: Setting) -> Iterator[str]:
    yield ""
    shown = ", ".join(service.versions[:2]) or "no version"
    since = "" if service.since is None else f" for {span(max(0.0, setting.now - service.since))}"
    many = "1 instance" if service.instances == 1 else f"{service.instances} instances"
    rate = "requests not counted" if service.requests is None else f"{number(service.requests, 3)} requests/s"
    yield from comment(f"{shown}{since}, {many}, {rate}")
    for problem in service.problems:
        yield from comment(f"Mend: {problem}.")
    yield f"  - name: {value(name)}"
    yield f"    match: {{{', '.join(f'{label}: {value(text)}' for label, text in service.labels.items())}}}"
    yield "    release: {prometheus: {}}   # Prometheus names the version: service_version of target_info"


def _plain(job: Plain, name: str, *, commented: bool) -> Iterator[str]:
    yield ""
    yield from comment(f"Job {job.job}: {job.problem}.")
    if commented:
        yield from comment("To observe it: take away the # below, and load own-alerts.yml into Prometheus.")
    release = "{command: {current: [./release, current]}}   # your command that prints the version that serves"
    if job.version is not None:
        metric, label = job.version
        release = f"{{prometheus: {{metric: {value(metric)}, label: {value(label)}}}}}"
    lines = (f"  - name: {value(name)}", f"    match: {{job: {value(job.job)}}}", f"    release: {release}")
    yield from (f"#{line}" if commented else line for line in lines)


# --- for Prometheus and Alertmanager --------------------------------------------------------------------------------


def prometheus_snippet(survey: Survey, setting: Setting) -> str:
    """What to merge into prometheus.yml."""
    lines = [
        "# Merge this into prometheus.yml, and let Prometheus read it again (SIGHUP, or POST /-/reload).",
        "# Prometheus must be able to read the rules: copy the folder where it may, and name that place.",
        "rule_files:",
        f"  - {value(f'{setting.folder}/rules/*.yml')}",
    ]
    if survey.plain:
        own = f"- {value(f'{setting.folder}/own-alerts.yml')}"
        own += "   # of services without target_info"
        lines.append(f"  {own}" if _needs_own(survey) else f"  # {own}")
    lines += [
        "scrape_configs:",
        "  - job_name: rearguard   # the controller itself; rules/controller.yml watches it",
        "    scrape_interval: 5s",
        f"    static_configs: [{{targets: [{value(setting.listen)}]}}]",
        "    # and for each job of yours: scrape_interval: 5s (15s at most), or alerts about a release come late",
    ]
    if setting.alertmanager is not None:
        scheme, _, rest = setting.alertmanager.partition("://")
        host, slash, path = rest.partition("/")
        lines += [
            "alerting:   # unless it stands there already",
            "  alertmanagers:",
            f"    - scheme: {scheme}",
            *([f"      path_prefix: {value(slash + path)}"] if path else []),
            f"      static_configs: [{{targets: [{value(host)}]}}]",
        ]
    return "\n".join(lines) + "\n"


def alertmanager_snippet(setting: Setting) -> str:
    """What to merge into alertmanager.yml."""
    return f"""\
# Merge this into alertmanager.yml, and let Alertmanager read it again (SIGHUP, or POST /-/reload).
# Put the two routes before all of yours; what they `continue` goes on as before.
route:
  receiver: yours   # keep your own
  routes:
    # The heartbeat: while it arrives, alerts can arrive.
    - matchers: ['alertname="RearguardWatchdog"']
      receiver: rearguard
      group_by: [alertname]
      group_wait: 0s
      group_interval: 30s
      repeat_interval: 1m
    # Alerts that may roll back. Each may be sent again: Rearguard acts once.
    - matchers: ['action="rollback"']
      receiver: rearguard
      group_wait: 0s
      group_interval: 10s
      repeat_interval: 1m
      continue: true
    # Last: what only `continue`d never falls back to the receiver at the top.
    - receiver: yours
receivers:
  - name: rearguard
    webhook_configs:
      - url: {value(f"http://{setting.listen}/webhook/alertmanager")}
        send_resolved: true
        max_alerts: 0
        http_config:
          authorization:
            type: Bearer
            # One line, the token alone. Alertmanager must be able to read it: copy it to where it may.
            credentials_file: {value(f"{setting.folder}/tokens/sender")}
  - name: yours   # keep your own
"""


def own_alerts(survey: Survey) -> str:
    """Rules for jobs without target_info: each with a figure of its own, and an alert that may roll back."""
    lines = [
        "# For services that count requests and show no target_info. A figure of each job, and an alert about it.",
        "groups:",
        "  - name: own",
        "    interval: 5s",
        "    rules:",
    ]
    for job in survey.plain:
        if not job.failed:
            lines += [f"      # {said(job.job)}: no label of {job.counter} says which requests failed."]
            continue
        of, failed = f"job={json.dumps(job.job)}", job.failed
        lines += [
            "      - record: own:http_error_ratio:1m",
            "        expr: |",
            f"          (sum by (job) (rate({job.counter}{{{of},{failed}}}[1m])) or sum by (job) (up{{{of}}} * 0))",
            f"          / (sum by (job) (rate({job.counter}{{{of}}}[1m])) > 0)",
        ]
    if any(job.failed for job in survey.plain):
        lines += [
            "      - alert: OwnErrorRate",
            "        expr: own:http_error_ratio:1m > 0.1",
            "        for: 1m",
            "        labels: {severity: critical, action: rollback}",
            "        annotations:",
            "          summary: '{{ $labels.job }} fails for {{ $value | humanizePercentage }} of its requests.'",
            "          figure: own:http_error_ratio:1m",
            "          threshold: '> 0.1'",
        ]
    else:
        lines[-1] = "    rules: []"
    return "\n".join(lines) + "\n"


def _needs_own(survey: Survey) -> bool:
    return not survey.services and any(map(usable, survey.plain))


def value(text: str) -> str:
    """A text as a value in YAML, quoted unless it is plain."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(printable(text), ensure_ascii=False)


def said(text: str) -> str:
    """A text for a comment: one line, without what could end it."""
    return printable(one_line(text))


def comment(text: str) -> Iterator[str]:
    """A comment within a target list, broken into lines."""
    line = "  #"
    for word in said(text).split():
        if len(line) + len(word) >= _WIDTH:
            yield line
            line = "  #  "
        line += f" {word}"
    yield line


def names(found: Collection[str], most: int = 6) -> str:
    """Some of several names, for a sentence."""
    first = sorted(found)[:most]
    return ", ".join(map(said, first)) + (f" and {len(found) - most} more" if len(found) > most else "")
