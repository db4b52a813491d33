"""A scripted exporter: services whose numbers do what a test says, under the names of the real exporter's metrics.

Here: one HTTP server that counts requests by what each instance's version does at the moment, and answers Prometheus
at /<service>/<instance>. A change of version is a new process: its counters begin at 0.
Never here: which numbers follow when (stories.py).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENVIRONMENT = "production"


@dataclass(frozen=True)
class Numbers:
    """What a version does each second."""

    requests: float = 20.0
    errors: float = 0.0  # share of the requests
    memory: float = 0.4  # share of the limit
    lives: float = 0.0  # seconds after which its process starts anew; 0: never


@dataclass
class Instance:
    """One process of a service at a time; `version` says which version it serves now."""

    service: str
    name: str
    version: Callable[[], str]
    numbers: Callable[[str], Numbers]
    _counted: dict[str, float] = field(default_factory=dict)
    _shown: str = ""
    _at: float = 0.0
    _began: float = 0.0

    def text(self) -> str:
        now, version = time.monotonic(), self.version()
        numbers = self.numbers(version)
        if version != self._shown or 0 < numbers.lives <= now - self._began:
            self._counted, self._shown, self._at, self._began = {"200": 0.0, "500": 0.0}, version, now, now
        passed, self._at = now - self._at, now
        self._counted["500"] += passed * numbers.requests * numbers.errors
        self._counted["200"] += passed * numbers.requests * (1 - numbers.errors)
        who = f'service_name="{self.service}",service_version="{version}",deployment_environment_name="{ENVIRONMENT}"'
        lines = [
            "# TYPE target_info gauge",
            f"target_info{{{who}}} 1",
            "# TYPE process_memory_usage_bytes gauge",
            f"process_memory_usage_bytes {numbers.memory * 1e9:.0f}",
            "# TYPE process_memory_limit_bytes gauge",
            "process_memory_limit_bytes 1e9",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {time.time() - (now - self._began):.2f}",
            "# TYPE http_server_request_duration_seconds histogram",
        ]
        for code, count in self._counted.items():
            name, labels = "http_server_request_duration_seconds", f'http_response_status_code="{code}"'
            labels = f'http_request_method="GET",http_route="/",{labels}'
            lines += [
                f'{name}_bucket{{{labels},le="+Inf"}} {int(count)}',
                f"{name}_count{{{labels}}} {int(count)}",
                f"{name}_sum{{{labels}}} {count * 0.01:.3f}",
            ]
        return "\n".join(lines) + "\n"


class Exporter:
    """The server; add instances before Prometheus starts."""

    def __init__(self):
        self.instances: dict[str, Instance] = {}
        exporter, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                instance = exporter.instances.get(self.path.partition("?")[0])
                with lock:
                    body = (instance.text() if instance else "").encode()
                self.send_response(200 if instance else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port

    def add(self, instance: Instance) -> None:
        self.instances[f"/{instance.service}/{instance.name}"] = instance

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
