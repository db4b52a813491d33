"""The files that the parts of the stack read, written into its work folder.

Here: configuration of HAProxy, Prometheus, Alertmanager and the controller, tokens, and the two commands that the
controller runs. The shipped rules are used where they lie, unchanged. Never here: starting anything.
"""

import json
import secrets
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from local_stack.binaries import ROOT
from local_stack.layout import HOST, TARGET, Layout

RULES = ROOT / "rules"
ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yml"
SCRAPE_INTERVAL = "5s"
DRAIN_LIMIT_SECONDS = 3  # what requests under way get; price feeds are cut then
_ROLES = ("sender", "viewer", "operator")


def write_all(layout: Layout, database: str | None = None) -> None:
    """Write every file; tokens are new each time. `database` is the shop's, SQLite in the work folder by default."""
    _write_tokens(layout)
    _write_commands(layout)
    database = database or f"sqlite+aiosqlite:///{layout.folder / 'data' / 'shop.db'}"
    _write(layout, "shop.json", json.dumps({"port": layout.shop_port, "database": database}) + "\n")
    _write(layout, "haproxy.cfg", _haproxy(layout))
    _write(layout, "prometheus.yml", _yaml(_prometheus(layout)))
    _write(layout, "alertmanager.yml", _yaml(_alertmanager(layout)))
    _write(layout, "rearguard.yaml", _yaml(rearguard(layout)))


def rewrite(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Let `change` edit a YAML file's content in place."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(_yaml(content), encoding="utf-8")


def _write(layout: Layout, name: str, text: str) -> None:
    (layout.folder / name).write_text(text, encoding="utf-8")


def _yaml(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=110)


def _write_tokens(layout: Layout) -> None:
    for role in _ROLES:
        file = layout.token_file(role)
        file.touch(mode=0o600)
        file.write_text(f"local-{role}:{secrets.token_urlsafe(24)}\n", encoding="utf-8")
    sender = layout.folder / "tokens" / "alertmanager"  # Alertmanager sends the file's whole content
    sender.touch(mode=0o600)
    sender.write_text(layout.token("sender"), encoding="utf-8")


def _write_commands(layout: Layout) -> None:
    """Write `release` and `traffic`: they find python and their folder by themselves, in any environment."""
    package = Path(__file__).resolve().parents[1]
    for name in ("release", "traffic"):
        file = layout.folder / name
        python, home = shlex.quote(sys.executable), shlex.quote(str(layout.folder))
        file.write_text(
            f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(package))}\nexport PYTHONPATH\n"
            f'exec {python} -m local_stack.{name} --home {home} "$@"\n',
            encoding="utf-8",
        )
        file.chmod(0o755)


def _haproxy(layout: Layout) -> str:
    return f"""# The traffic switch in front of the shop.
global
    stats socket unix@run/haproxy.sock mode 600 level admin
    maxconn 500

defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
    # A release that restarts is away for about a second: wait for it rather than fail.
    retries 3
    retry-on conn-failure
    http-error status 503 content-type text/plain string "The shop is being maintained.\\n" hdr Retry-After 5

frontend clients
    bind {HOST}:{layout.proxy_port}
    monitor-uri /haproxy-alive
    default_backend {TARGET}

backend {TARGET}
    server instance {HOST}:{layout.shop_port}
"""


def _prometheus(layout: Layout) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": SCRAPE_INTERVAL},
        "rule_files": [str(file) for file in sorted(RULES.glob("*.yml"))],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"{HOST}:{layout.alertmanager_port}"]}]}]},
        "scrape_configs": [
            {"job_name": "shop", "static_configs": [{"targets": [f"{HOST}:{layout.shop_port}"]}]},
            {"job_name": "rearguard", "static_configs": [{"targets": [f"{HOST}:{layout.controller_port}"]}]},
        ],
    }


def _alertmanager(layout: Layout) -> dict[str, Any]:
    """Return the shipped configuration; only Rearguard's own receiver is reached, the team's go nowhere."""
    shipped: dict[str, Any] = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
    for receiver in shipped["receivers"]:
        if receiver["name"] == "rearguard":
            (webhook,) = receiver["webhook_configs"]
            webhook["url"] = f"{layout.controller}/webhook/alertmanager"
            webhook["http_config"]["authorization"]["credentials_file"] = str(layout.folder / "tokens/alertmanager")
        else:
            for key in [key for key in receiver if key != "name"]:
                del receiver[key]
    return shipped


def rearguard(layout: Layout) -> dict[str, Any]:
    """Return the controller's configuration, with short times."""
    tokens = {role: str(layout.token_file(role)) for role in _ROLES}
    return {
        "environment": "production",
        "journal": f"sqlite://{layout.folder / 'data' / 'journal.db'}",
        "listen": f"{HOST}:{layout.controller_port}",
        "open": ["metrics"],
        "prometheus": {"url": layout.prometheus, "poll_interval": "5s"},
        "alertmanager": {"url": layout.alertmanager},
        "tokens": tokens,
        "policies": {
            "standard": {
                "mode": "act",
                "known_good_after": "20s",
                "cooldown": "5m",
                "budget": {"rollbacks": 3, "per": "24h"},
            }
        },
        "targets": [_target(layout)],
    }


def _target(layout: Layout) -> dict[str, Any]:
    snapshot = {"method": "POST", "url": f"{layout.shop}/admin/snapshot"}
    clear = {"method": "POST", "url": f"{layout.shop}/admin/cache/clear"}
    return {
        "name": TARGET,
        "match": {"service_name": "shop", "deployment_environment_name": "production"},
        "policy": "standard",
        "release": {
            "command": {
                "current": ["./release", "current"],
                "versions": ["./release", "list"],
                "rollback": ["./release", "activate", "{to_version}"],
                "check": ["./release", "check", "{to_version}"],
                "timeout": "1m",
            }
        },
        "hooks": {
            "before": [
                {"name": "save-state", "http": snapshot, "timeout": "10s", "on_failure": "continue"},
                {
                    "name": "drain",
                    "command": ["./traffic", "drain", "{target}", "--limit", str(DRAIN_LIMIT_SECONDS)],
                    "undo": {"command": ["./traffic", "restore", "{target}"]},
                    "timeout": "30s",
                    "on_failure": "stop",
                },
            ],
            "after": [{"name": "clear-cache", "http": clear, "on_failure": "continue"}],
        },
        "verify": {
            "health": {"url": f"{layout.shop}/healthz", "successes": 3, "interval": "1s", "timeout": "1m"},
            "recovery": {"within": "2m"},
        },
    }
