"""The configuration file of `rearguard serve --config`: from YAML text to frozen values.

Here: the public names. `keys` lists every key once, `reading` turns YAML nodes into values or errors with file,
line and key, `hooks` reads commands, requests and hooks, `policies` and `targets` read those,
`notify` reads who is told, `configuration` puts the whole together, `web` reads the file of TLS settings.
A name is loaded when it is first used: the command line reads tokens, and needs no YAML for it.
Never here: reading the files that it names (tokens, certificates, headers), the journal, the network or environment
variables. The text alone decides what it means.
"""

from importlib import import_module

_HERE = {
    "configuration": (
        "AlertmanagerSettings",
        "Configuration",
        "KubernetesSettings",
        "Limits",
        "load",
        "parse",
    ),
    "discover": ("Discover", "DiscoverServices"),
    "keys": (
        "SECTIONS",
        "tables",
    ),
    "loopback": ("is_loopback",),
    "notify": (
        "NotifyEntry",
        "ReceiverKind",
        "kind_of",
    ),
    "page_settings": ("PageSettings",),
    "prometheus": ("PrometheusSettings",),
    "web": (
        "TlsSettings",
        "load_web",
        "parse_web",
    ),
}
_MODULES = {name: module for module, names in _HERE.items() for name in names}

__all__ = [  # noqa: PLE0604  # the same names as in __init__.pyi; a test compares
    *_MODULES,
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
