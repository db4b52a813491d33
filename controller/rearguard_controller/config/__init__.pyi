# What the room gives, as type checkers see it; at run time each name is loaded when it is first used.
from rearguard_controller.config.configuration import (
    AlertmanagerSettings,
    Configuration,
    KubernetesSettings,
    Limits,
    load,
    parse,
)
from rearguard_controller.config.discover import Discover, DiscoverServices
from rearguard_controller.config.keys import SECTIONS, tables
from rearguard_controller.config.loopback import is_loopback
from rearguard_controller.config.notify import NotifyEntry, ReceiverKind, kind_of
from rearguard_controller.config.page_settings import PageSettings
from rearguard_controller.config.prometheus import PrometheusSettings
from rearguard_controller.config.web import TlsSettings, load_web, parse_web

__all__ = [
    "SECTIONS",
    "AlertmanagerSettings",
    "Configuration",
    "Discover",
    "DiscoverServices",
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
