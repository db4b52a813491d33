"""The whole configuration: what a file says, as frozen values.

Here: `load` and `parse`, and the settings of the controller itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rearguard_controller.config.discover import Discover, DiscoverServices, discover
from rearguard_controller.config.http_config import HttpConfig, base_addresses, block_of, http_config
from rearguard_controller.config.keys.service import (
    ALERTMANAGER,
    KUBERNETES,
    LIMITS,
    SHARDING,
    STORM,
    TOKENS,
    TOP,
)
from rearguard_controller.config.mistakes import Mistakes
from rearguard_controller.config.named_files import MOST_LONG, UnreadableFileError, read_text
from rearguard_controller.config.notify import NotifyEntry, notify
from rearguard_controller.config.object_names import namespace
from rearguard_controller.config.page_settings import PageSettings, page_settings
from rearguard_controller.config.policies import policies as read_policies
from rearguard_controller.config.policies import stand_ins
from rearguard_controller.config.prometheus import PrometheusSettings, prometheus, refuse_wrong_names
from rearguard_controller.config.reading import SECOND, Block, Place, compose
from rearguard_controller.config.slack import SlackButtons, slack
from rearguard_controller.config.targets import targets as read_targets
from rearguard_controller.config.together import refuse_wrong_ties
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import Detail, KubernetesRelease, Policy, StormLimit, Target
from rearguard_controller.model.shards import MOST as MOST_SHARDS
from rearguard_controller.model.shards import ONE
from rearguard_controller.times import durations

_POSTGRES = re.compile(r"(?:[^:/@?#\s]+(?P<password>:[^/@?#\s]*)?@)?[^/@?#\s]*/[^/@?#\s]+(?:\?[^#\s]*)?")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")
_MAX_PORT = 65_535
_MAY_BE_OPEN = ("metrics", "openapi", "page")
_USUAL_STORM = StormLimit()
_USUAL_PAGE = PageSettings()
_PLAIN_HTTP = HttpConfig()


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


_LOCAL = Address("127.0.0.1", 9465)
_ANY = "any"  # stands for a text that cannot be read


@dataclass(frozen=True, slots=True)
class AlertmanagerSettings:
    """How Alertmanager is reached.

    Attributes:
        urls: base addresses without a slash at the end, tried in order.
    """

    urls: tuple[str, ...]
    http: HttpConfig = _PLAIN_HTTP


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Which cluster's workloads are targets.

    Attributes:
        kubeconfig: None: the cluster in which the controller runs, by the service account of its pod.
        context: of the file; empty: its current one.
        argocd_namespace: where Argo CD runs, if it does.
    """

    kubeconfig: Path | None = None
    context: str = ""
    argocd_namespace: str = "argocd"


_OWN_CLUSTER = KubernetesSettings()


@dataclass(frozen=True, slots=True)
class Limits:
    """What the HTTP interface takes at most.

    Attributes:
        waiting_alerts: accepted alerts that may wait to be judged; beyond, deliveries are refused for now.
        triggers_per_minute: of one operator.
        connections: open at once.
        body_timeout: seconds for the whole body of a request.
        idle_timeout: seconds for its headers, and between two requests of a connection.
    """

    waiting_alerts: int = 50_000
    triggers_per_minute: int = 10
    connections: int = 512
    body_timeout: float = 30.0
    idle_timeout: float = 75.0


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the configuration file says, with every default filled in and every path absolute.

    Attributes:
        environment: for targets that name none themselves; may be empty.
        journal: path of the SQLite database, or the postgresql:// URL.
        retention: seconds for which records are kept.
        tokens: role (sender, viewer, operator) to the file that holds its tokens.
        shards: how many parts of the targets the replicas lead one by one; 1: one of them leads all.
        target_metrics: how much is told of each target; None: as many as there are of them decide.
        external_url: where people reach the controller, without a slash at the end; None: no links are known.
    """

    environment: str
    journal: str
    listen: Address
    open: frozenset[str]
    prometheus: PrometheusSettings
    retention: float
    tokens: Mapping[str, Path]
    policies: Mapping[str, Policy]
    targets: tuple[Target, ...]
    limits: Limits = Limits()
    tls_config_file: Path | None = None
    storm: StormLimit = _USUAL_STORM
    alertmanager: AlertmanagerSettings | None = None
    notify: tuple[NotifyEntry, ...] = ()
    kubernetes: KubernetesSettings = _OWN_CLUSTER
    discover: tuple[Discover, ...] = ()
    services: tuple[DiscoverServices, ...] = ()
    external_url: str | None = None
    slack: SlackButtons | None = None
    notice_templates: Path | None = None
    page: PageSettings = _USUAL_PAGE
    target_metrics: Detail | None = None
    shards: int = ONE

    @property
    def discovers(self) -> bool:
        """Whether targets are found rather than listed."""
        return bool(self.discover or self.services)

    @property
    def cluster(self) -> KubernetesSettings | None:
        """The cluster whose workloads are targets, or where hooks drain; None while no target needs one."""
        asked = any(isinstance(target.release, KubernetesRelease) or target.drains for target in self.targets)
        return self.kubernetes if asked or self.discover else None


def load(path: Path) -> Configuration:
    """Read a configuration file; relative paths in it start from its folder.

    Raises:
        ConfigError: it cannot be read or used; the message names file, line and key.
    """
    try:
        text = read_text(path, MOST_LONG)
    except UnreadableFileError as error:
        raise ConfigError(
            f"{path}: the configuration cannot be read: {error}",
            hint="Name a file with --config; `rearguard init` writes a first one.",
        ) from None
    return parse(text, file=str(path), folder=path.resolve().parent)


def parse(text: str, *, file: str, folder: Path) -> Configuration:
    """Read the text of a configuration; `file` is for messages, `folder` is where relative paths start.

    Raises:
        ConfigError: it cannot be used; the message names file, line and key. What else is wrong stands in its
            `others`.
    """
    top, mistakes = compose(text, file).block(TOP), Mistakes()
    environment = mistakes.of(lambda: top.line("environment") or "", _ANY)
    policies = mistakes.of(lambda: _policies(top), stand_ins(top))
    found: tuple[Discover | DiscoverServices, ...] = mistakes.of(
        lambda: discover(top.get("discover"), folder, environment, policies), ()
    )
    configuration = Configuration(
        environment=environment,
        journal=mistakes.of(lambda: _journal(top.need("journal")), _ANY),
        listen=mistakes.of(lambda: _listen(top.get("listen")), _LOCAL),
        open=mistakes.of(lambda: _open(top.get("open")), frozenset()),
        prometheus=mistakes.of(lambda: prometheus(top.need("prometheus"), folder), PrometheusSettings(())),
        retention=mistakes.of(lambda: _retention(top, policies), 0.0),
        tokens=mistakes.of(lambda: _tokens(top.get("tokens"), folder), {}),
        policies=policies,
        targets=mistakes.of(lambda: _targets(top, folder, environment, policies), ()),
        limits=mistakes.of(lambda: _limits(top.get("limits")), Limits()),
        tls_config_file=mistakes.of(lambda: _optional_path(top, "tls_config_file", folder), None),
        storm=mistakes.of(lambda: _storm(top.get("storm")), _USUAL_STORM),
        alertmanager=mistakes.of(lambda: _alertmanager(top.get("alertmanager"), folder), None),
        notify=mistakes.of(lambda: notify(top.get("notify"), folder), ()),
        discover=tuple(each for each in found if isinstance(each, Discover)),
        services=tuple(each for each in found if isinstance(each, DiscoverServices)),
        kubernetes=mistakes.of(lambda: _kubernetes(top.get("kubernetes"), folder), _OWN_CLUSTER),
        external_url=mistakes.of(lambda: _external_url(top.get("external_url")), None),
        notice_templates=mistakes.of(lambda: _optional_path(top, "notice_templates", folder), None),
        slack=mistakes.of(lambda: slack(top.get("slack"), folder), None),
        page=mistakes.of(lambda: page_settings(top.get("page")), _USUAL_PAGE),
        target_metrics=mistakes.of(lambda: _detail(top.get("target_metrics")), None),
        shards=mistakes.of(lambda: _shards(top), ONE),
    )
    mistakes.tell()
    refuse_wrong_ties(top, configuration.policies, configuration.targets)
    refuse_wrong_names(
        top,
        configuration.prometheus,
        configuration.targets,
        configuration.discover,
        finds_services=bool(configuration.services),
    )
    return configuration


def _policies(top: Block) -> dict[str, Policy]:
    return read_policies(top, act_outside=top.boolean("act_outside_production", default=False))


def _listen(place: Place | None) -> Address:
    return _LOCAL if place is None else _address(place)


def _external_url(place: Place | None) -> str | None:
    """The address without a slash at its end."""
    if place is None:
        return None
    place.line("an http or https address")
    return base_addresses(place)[0]


def _targets(top: Block, folder: Path, environment: str, policies: Mapping[str, Policy]) -> tuple[Target, ...]:
    """The targets that are listed; there need be none where some are discovered."""
    place = top.get("targets") if "discover" in top.entries else top.need("targets")
    return () if place is None else read_targets(place, folder, environment, policies)


def _optional_path(block: Block, key: str, folder: Path) -> Path | None:
    place = block.get(key)
    return None if place is None else folder / place.line("a path")


def _journal(place: Place) -> str:
    text = place.line("an address such as sqlite:///var/lib/rearguard/journal.db")
    scheme, _, rest = text.partition("://")
    if scheme in {"postgresql", "postgres"}:
        return _postgres(place, rest)
    if scheme != "sqlite" or not rest.startswith("/") or rest.endswith("/") or "?" in rest or "#" in rest:
        right = "write sqlite:// and an absolute path: sqlite:///var/lib/rearguard/journal.db"
        raise place.error("this is no journal", f"{right}; or postgresql://user@host/database")
    return "/" + rest.lstrip("/")


def _postgres(place: Place, rest: str) -> str:
    """The URL, with the one scheme that the journal knows. Parameters for the driver may follow the database."""
    match = _POSTGRES.fullmatch(rest)
    if match is None:
        raise place.error("this is no PostgreSQL database", "write postgresql://user@host/database")
    if match["password"] is not None or "password=" in rest:
        raise place.error(
            "a password does not belong into the configuration",
            "put it into a password file: postgresql://user@host/database?passfile=/etc/rearguard/pgpass",
        )
    return f"postgresql://{rest}"


def _address(place: Place) -> Address:
    match = _ADDRESS.fullmatch(place.line("host:port"))
    if match is None or int(match[3]) > _MAX_PORT:
        raise place.error("this is no address to listen on", "write host:port, such as 127.0.0.1:9465 or [::1]:9465")
    return Address(match[1] or match[2], int(match[3]))


def _open(place: Place | None) -> frozenset[str]:
    if place is None:
        return frozenset()
    return frozenset(item.word(_MAY_BE_OPEN) for item in place.items("a list of endpoints"))


def _alertmanager(place: Place | None, folder: Path) -> AlertmanagerSettings | None:
    if place is None:
        return None
    block = block_of(place, ALERTMANAGER)
    return AlertmanagerSettings(base_addresses(block.need("url")), http_config(block, folder))


def _kubernetes(place: Place | None, folder: Path) -> KubernetesSettings:
    if place is None:
        return _OWN_CLUSTER
    block = place.block(KUBERNETES)
    if "context" in block.entries and "kubeconfig" not in block.entries:
        raise block.need("context").error("a context is of a kubeconfig file", "name the file by `kubeconfig: PATH`")
    argocd = block.get("argocd_namespace")
    return KubernetesSettings(
        _optional_path(block, "kubeconfig", folder),
        block.line("context") or "",
        _OWN_CLUSTER.argocd_namespace if argocd is None else namespace(argocd),
    )


def _storm(place: Place | None) -> StormLimit:
    if place is None:
        return _USUAL_STORM
    block = place.block(STORM)
    targets = block.get("targets")
    return StormLimit(
        targets=_USUAL_STORM.targets if targets is None else targets.count(),
        within=block.duration("within", _USUAL_STORM.within, least=SECOND),
    )


def _detail(place: Place | None) -> Detail | None:
    return None if place is None else Detail(place.word(tuple(each.value for each in Detail)))


def _shards(top: Block) -> int:
    """How many; more than one only where replicas can share the journal."""
    place = top.get("sharding")
    entry = None if place is None else place.block(SHARDING).get("shards")
    if entry is None:
        return ONE
    count, journal = entry.count(), top.get("journal")
    if count > MOST_SHARDS:
        raise entry.error(f"{count} shards are too many", f"at most {MOST_SHARDS}")
    if count != ONE and journal is not None and journal.line("an address").startswith("sqlite"):
        raise entry.error("a journal in SQLite has one leader for all targets", "1, or a journal in PostgreSQL")
    return count


def _limits(place: Place | None) -> Limits:
    if place is None:
        return Limits()
    block, usual = place.block(LIMITS), Limits()

    def count(name: str, default: int) -> int:
        entry = block.get(name)
        return default if entry is None else entry.count()

    return Limits(
        waiting_alerts=count("waiting_alerts", usual.waiting_alerts),
        triggers_per_minute=count("triggers_per_minute", usual.triggers_per_minute),
        connections=count("connections", usual.connections),
        body_timeout=block.duration("body_timeout", usual.body_timeout, least=0.1),
        idle_timeout=block.duration("idle_timeout", usual.idle_timeout, least=0.1),
    )


def _retention(top: Block, policies: Mapping[str, Policy]) -> float:
    """How long records are kept: at least as long as any policy looks back (cooldown, budget)."""
    seconds = top.duration("retention", 400 * 86_400.0, least=SECOND)
    looks_back = {f"policies.{name}.cooldown": policy.cooldown for name, policy in policies.items()}
    looks_back |= {f"policies.{name}.budget.per": policy.budget.per for name, policy in policies.items()}
    longest = max(looks_back, key=looks_back.__getitem__)
    if seconds < looks_back[longest]:
        need = durations.render(looks_back[longest])
        raise (top.get("retention") or top.need("policies")).error(
            f"{durations.render(seconds)} of retention would forget what {longest} counts",
            f"retention must be at least {need}",
        )
    return seconds


def _tokens(place: Place | None, folder: Path) -> dict[str, Path]:
    if place is None:
        return {}
    return {role: folder / entry.line("a path") for role, entry in place.block(TOKENS).entries.items()}
