"""Every key of the configuration file, once: its type, default and meaning.

Here: the one table by which the reader checks keys, and from which the documentation and the JSON schema are made.
Its parts are `service`, `http_config`, `policies`, `targets` and `web`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rearguard_controller.config.keys import discover, http_config, policies, service, targets, web
from rearguard_controller.config.keys.section import Key, Section

__all__ = ["SECTIONS", "Key", "Section", "tables"]

SECTIONS = (
    service.TOP,
    service.PROMETHEUS,
    service.OTHER_PROMETHEUS,
    service.ALERTMANAGER,
    http_config.BASIC_AUTH,
    http_config.AUTHORIZATION,
    http_config.TLS_CONFIG,
    http_config.HTTP_HEADER,
    service.KUBERNETES,
    service.STORM,
    service.SHARDING,
    service.TOKENS,
    service.PAGE,
    service.LIMITS,
    service.NOTIFY,
    service.SLACK,
    policies.POLICY,
    policies.APPROVAL,
    policies.BUDGET,
    discover.DISCOVER,
    discover.DISCOVER_KUBERNETES,
    discover.DISCOVER_PROMETHEUS,
    targets.TARGET,
    targets.RELEASE,
    targets.COMMAND_RELEASE,
    targets.KUBERNETES_RELEASE,
    targets.PROMETHEUS_RELEASE,
    targets.HOOKS,
    targets.HOOK,
    targets.DRAIN,
    targets.UNDO,
    targets.CHECK,
    targets.HTTP,
    targets.VERIFY,
    targets.HEALTH,
    targets.RECOVERY,
    web.WEB,
    web.TLS_SERVER,
)


def tables() -> str:
    """The reference part of the documentation: one Markdown table per section."""
    return "\n".join(_table(section) for section in SECTIONS)


def _table(section: Section) -> str:
    return "\n".join(_lines(section)) + "\n"


def _lines(section: Section) -> Iterator[str]:
    yield f"### {section.where}"
    yield ""
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for key in section.keys:
        yield f"| `{key.name}` | {key.type} | {key.default} | {key.meaning} |"
