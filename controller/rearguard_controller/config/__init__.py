"""The configuration file of `rearguard serve --config`: from YAML text to frozen values.

Here: the public names. `keys` lists every key once, `reading` turns YAML nodes into values or errors with file,
line and key, `hooks` reads commands, requests and hooks, `policies` and `targets` read those,
`notify` reads who is told, `configuration` puts the whole together, `web` reads the file of TLS settings.
Never here: reading the files that it names (tokens, certificates, headers), the journal, the network or environment
variables. The text alone decides what it means.
"""

from rearguard_controller.config.configuration import (
    AlertmanagerSettings,
    Configuration,
    KubernetesSettings,
    Limits,
    PrometheusSettings,
    is_loopback,
    load,
    parse,
)
from rearguard_controller.config.discover import Discover
from rearguard_controller.config.keys import SECTIONS, tables
from rearguard_controller.config.notify import NotifyEntry, ReceiverKind, kind_of
from rearguard_controller.config.page_settings import PageSettings
from rearguard_controller.config.web import TlsSettings, load_web, parse_web

__all__ = [
    "SECTIONS",
    "AlertmanagerSettings",
    "Configuration",
    "Discover",
    "KubernetesSettings",
    "Limits",
    "NotifyEntry",
    "PageSettings",
    "PrometheusSettings",
    "ReceiverKind",
    "TlsSettings",
    "is_loopback",
    "kind_of",
    "load",
    "load_web",
    "parse",
    "parse_web",
    "tables",
]
