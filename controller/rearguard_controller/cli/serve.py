"""The commands serve, which runs a controller, and check, which reads a configuration.

Here: the summary of what a configuration would do. The room `service` runs the controller; only serve imports it.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

from rearguard_controller import config
from rearguard_controller.adapters.notices import delivery, templates
from rearguard_controller.api import auth
from rearguard_controller.api.tls import ServerTls
from rearguard_controller.cli import live as live_look
from rearguard_controller.cli import terminal
from rearguard_controller.cli.check_warnings import warnings
from rearguard_controller.config.exposure import remarks
from rearguard_controller.config.secret_files import host_of
from rearguard_controller.errors import RearguardError, sentences
from rearguard_controller.judgement.permissions import PRODUCTION
from rearguard_controller.model import CommandRelease, KubernetesRelease, Mode, NoticeEvent, Target
from rearguard_controller.rollback.plan import plan
from rearguard_controller.times import durations
from rearguard_controller.wording import address

ACTS = "acts"


def serve(options: Namespace) -> int:
    """Run the controller until it is told to stop.

    Raises:
        RearguardError: it cannot start.
    """
    from rearguard_controller.service import process  # noqa: PLC0415  # builds the whole service

    try:
        return process.serve(Path(options.config), insecure=options.insecure)
    except OSError as error:  # the address is taken, or not ours
        raise RearguardError(
            f"The controller cannot run: {error}.", hint="Is another one running, and is `listen` right?"
        ) from error


def check(options: Namespace) -> int:
    """Print what a configuration would do; with `--live` also what the real things say to it.

    Returns:
        1 if something that was asked would keep a rollback from working, else 0.

    Raises:
        RearguardError: the configuration cannot be used, or a file that it names: tokens, TLS or notices.
    """
    found = config.load(Path(options.config))
    seen = live_look.look(options.config, found) if options.live else None
    if options.output != terminal.TABLE:
        terminal.as_asked(
            options,
            _told(found, options.config, live=options.live)
            | ({} if seen is None else {"live": live_look.told(seen)}),
        )
    else:
        _show(found, options.config, live=options.live)
        live_look.show(seen or ())
    _refuse_unusable(found)
    return 0 if seen is None else live_look.code(seen)


def _refuse_unusable(found: config.Configuration) -> None:
    """Raise for a file that the configuration names and that cannot be used: tokens, TLS or notices."""
    auth.Gate(found.tokens)
    if found.tls_config_file is not None:
        ServerTls(found.tls_config_file)
    for entry in found.notify:
        delivery.check(entry)


def _show(found: config.Configuration, file: str, *, live: bool) -> None:
    terminal.facts(
        {
            "configuration": file,
            "listens on": f"{found.listen.host}:{found.listen.port}",
            "journal": found.journal,
            "Prometheus": ", ".join(address(url) for each in found.prometheus.each for url in each.urls),
            "Alertmanager": ", ".join(_alertmanager(found)) or "none",
            "notifies": ", ".join(_receiver(entry) for entry in found.notify) or "nobody",
        }
    )
    terminal.line()
    columns = ("TARGET", "ENVIRONMENT", "POLICY", "MODE", "DOES", "COOLDOWN", "BUDGET", "RELEASE CHECK", "STEPS")
    terminal.table(columns, [_row(target) for target in found.targets])
    looked_for: list[config.Discover | config.DiscoverServices] = [*found.discover, *found.services]
    for each in looked_for:
        terminal.line(f"\ndiscovers {_where(each)}, policy {each.policy.name}, mode {each.policy.mode.value}")
    warning = _protection(found)
    if warning:
        terminal.line(f"\nserve will refuse to start: {warning}")
    worth_a_look = _worth_a_look(found, live=live)
    if worth_a_look:
        terminal.heading("Worth a look")
        for sentence in worth_a_look:
            terminal.line(sentence)


def _told(found: config.Configuration, file: str, *, live: bool) -> dict[str, object]:
    return {
        "configuration": file,
        "listen": f"{found.listen.host}:{found.listen.port}",
        "journal": found.journal,
        "prometheus": [address(url) for each in found.prometheus.each for url in each.urls],
        "alertmanager": _alertmanager(found),
        "notify": [
            {"receiver": _receiver(entry), "events": [event.value for event in NoticeEvent if event in entry.events]}
            for entry in found.notify
        ],
        "serve_refuses": _protection(found),
        "warnings": _worth_a_look(found, live=live),
        "targets": [_target(target) for target in found.targets],
        "discovers": [_discovered(each) for each in found.discover],
        "discovers_services": [
            {"environments": list(each.environments), "policy": each.policy.name, "mode": each.policy.mode.value}
            for each in found.services
        ],
    }


def _worth_a_look(found: config.Configuration, *, live: bool) -> list[str]:
    return [*warnings(found.targets, live=live), *remarks(found), *templates.load(found.notice_templates).problems]


def _alertmanager(found: config.Configuration) -> list[str]:
    return [] if found.alertmanager is None else [address(url) for url in found.alertmanager.urls]


def _receiver(entry: config.NotifyEntry) -> str:
    """The receiver of an entry: its name, else the host of its address, else its file. Paths may be secret."""
    host = host_of(entry.url or entry.usual_address)
    return entry.name or host or str(entry.url_file or delivery.UNKNOWN)


def _target(target: Target) -> dict[str, object]:
    policy = target.policy
    return {
        "name": target.name,
        "environment": target.environment,
        "policy": policy.name,
        "mode": policy.mode.value,
        "acts": does(target).startswith(ACTS),
        "does": does(target),
        "cooldown": durations.render(policy.cooldown),
        "budget": {"rollbacks": policy.budget.rollbacks, "per": durations.render(policy.budget.per)},
        "release_check": _proof(target),
        "depends_on": list(target.depends_on),
        "steps": _steps(target),
    }


def does(target: Target) -> str:
    """What a trigger alert about this target leads to: `acts`, `asks` or `observes`, with the reason or the time."""
    policy = target.policy
    if policy.mode is Mode.OBSERVE:
        return f"observes (mode {policy.mode.value})"
    if target.environment != PRODUCTION and not policy.act_outside_production:
        return f"observes ({target.environment or 'no environment'} is not {PRODUCTION})"
    if policy.mode is Mode.ASK:
        return f"asks (approval within {durations.render(policy.approval_within)})"
    return f"{ACTS} (unless vetoed within {durations.render(policy.veto)})" if policy.veto else ACTS


def _steps(target: Target) -> list[str]:
    names = [step.name for step in plan(target, conditions=())]
    return [*names, "recovery"] if target.recovery_within is not None else names


def _row(target: Target) -> list[object]:
    policy, proof = target.policy, _proof(target)
    return [
        target.name,
        target.environment,
        policy.name,
        policy.mode.value,
        does(target),
        durations.render(policy.cooldown),
        f"{policy.budget.rollbacks} per {durations.render(policy.budget.per)}",
        None if proof is None else " ".join(proof),
        ", ".join(_steps(target)),
    ]


def _where(each: config.Discover | config.DiscoverServices) -> str:
    """What an entry of `discover` looks for."""
    if isinstance(each, config.DiscoverServices):
        return f"services of {', '.join(each.environments)} in Prometheus"
    return f"{', '.join(each.kinds)} with {each.selector.text} in namespace {', '.join(each.namespaces)}"


def _discovered(each: config.Discover) -> dict[str, object]:
    return {
        "namespaces": list(each.namespaces),
        "kinds": [kind.value for kind in each.kinds],
        "selector": each.selector.text,
        "environment": each.environment,
        "policy": each.policy.name,
        "mode": each.policy.mode.value,
    }


def _proof(target: Target) -> list[str] | None:
    """What proves beforehand that a version can be activated, if anything does."""
    release = target.release
    if isinstance(release, KubernetesRelease):
        return ["dry", "run", "on", release.workload]
    check = release.check if isinstance(release, CommandRelease) else None
    return None if check is None else list(check.argv)


def _protection(found: config.Configuration) -> str | None:
    try:
        auth.require_protection(found.tokens, found.listen.host, insecure=False)
    except RearguardError as error:
        return sentences(error)
    return None


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {"serve": serve, "check": check}
