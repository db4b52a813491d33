"""The work folder of one stack: where its files lie and which ports its parts listen on.

Here: names only, as data. Never here: writing the files (`settings`), starting the parts (`stack`).
"""

from dataclasses import dataclass
from pathlib import Path

from local_stack.process import free_ports

HOST = "127.0.0.1"
TARGET = "shop"


@dataclass(frozen=True, slots=True)
class Layout:
    """Folder, ports and addresses."""

    folder: Path
    shop_port: int
    proxy_port: int
    prometheus_port: int
    alertmanager_port: int
    controller_port: int

    @classmethod
    def make(cls, folder: Path) -> "Layout":
        """Return a layout with free ports in `folder`, which is made where it is missing."""
        layout = cls(folder.resolve(), *free_ports(5))
        for name in ("run", "logs", "releases", "tokens", "data/prometheus", "data/alertmanager"):
            (layout.folder / name).mkdir(parents=True, exist_ok=True)
        return layout

    @property
    def shop(self) -> str:
        """The shop itself, past the proxy."""
        return f"http://{HOST}:{self.shop_port}"

    @property
    def proxy(self) -> str:
        """Where clients go."""
        return f"http://{HOST}:{self.proxy_port}"

    @property
    def prometheus(self) -> str:
        """Prometheus."""
        return f"http://{HOST}:{self.prometheus_port}"

    @property
    def alertmanager(self) -> str:
        """Alertmanager."""
        return f"http://{HOST}:{self.alertmanager_port}"

    @property
    def controller(self) -> str:
        """The controller."""
        return f"http://{HOST}:{self.controller_port}"

    def log(self, part: str) -> Path:
        """The log of a part."""
        return self.folder / "logs" / f"{part}.log"

    def token_file(self, role: str) -> Path:
        """The token file of a role, as the controller reads it: `name:token`."""
        return self.folder / "tokens" / role

    def token(self, role: str) -> str:
        """The bare token of a role."""
        return self.token_file(role).read_text(encoding="utf-8").strip().partition(":")[2]
