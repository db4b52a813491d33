"""Services as SDKs of several languages expose them, scraped by a real Prometheus with the shipped rules.

Here: the text (or protobuf) of each shape, which grows with time; the Prometheus that scrapes all of them.
"""

from __future__ import annotations

import itertools
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

from local_stack.settings import RULES
from real.prometheus import running

SDKS = {  # what each writes into target_info and into the scope's labels, beside the three that matter
    "java": (
        'telemetry_sdk_language="java",host_arch="amd64",process_pid="7"',
        'otel_scope_name="io.opentelemetry.netty"',
    ),
    "go": ('telemetry_sdk_language="go"', 'otel_scope_name="otelhttp",otel_scope_version="0.58.0"'),
    "node": ('telemetry_sdk_language="nodejs",process_runtime_name="nodejs"', ""),
    "dotnet": (
        'telemetry_sdk_language="dotnet",service_instance_id="5c1"',
        'otel_scope_name="Microsoft.AspNetCore.Hosting"',
    ),
    "python": ('telemetry_sdk_language="python",telemetry_auto_version="0.50b0"', ""),
}
CONVENTIONS = ("new", "old")
HISTOGRAMS = ("classic", "native")
PATHS = ("direct", "collector", "gateway")
NEW, OLD = "http_server_request_duration_seconds", "http_server_duration_milliseconds"
BEGAN = time.monotonic()
PER_SECOND = 20.0
NEEDED = ("alerts", "recording", "release", "thresholds")  # of the rules, for what trust asks
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
TEXT = "text/plain; version=0.0.4"


@dataclass(frozen=True)
class Shape:
    sdk: str
    convention: str
    histogram: str
    info: bool
    path: str
    crashed: bool = False  # a collector or gateway shows the last numbers of a process that is gone

    @property
    def name(self):
        words = [self.sdk, self.convention, self.histogram, "info" if self.info else "no-info", self.path]
        return "-".join([*words, "crashed"] if self.crashed else words)

    @property
    def seen(self):
        """Whether a trigger rule can say anything about a service of this shape."""
        return (self.convention, self.histogram, self.info, self.crashed) == ("new", "classic", True, False)

    def requests(self):
        return 1000 if self.crashed else 1000 + int((time.monotonic() - BEGAN) * PER_SECOND)

    def labels(self):
        """Those of a request; the older conventions have other names for them."""
        own = "http_request_method" if self.convention == "new" else "http_method"
        status = "http_response_status_code" if self.convention == "new" else "http_status_code"
        scope = dict(pair.split("=", 1) for pair in SDKS[self.sdk][1].split(",") if pair)
        found = {
            own: "GET",
            "http_route": "/",
            status: "200",
            **{name: value.strip('"') for name, value in scope.items()},
        }
        return {**self.address(), **found}

    def address(self):
        """What a collector or gateway adds, so that instances are told apart."""
        return {} if self.path == "direct" else {"job": self.name, "instance": f"{self.name}:8080"}

    def target_info(self):
        said = SDKS[self.sdk][0] + f',service_name="{self.name}",service_version="v1"'
        said += (
            f',{"deployment_environment_name" if self.convention == "new" else "deployment_environment"}="production"'
        )
        return {
            **self.address(),
            **{name: value.strip('"') for name, value in (each.split("=", 1) for each in said.split(","))},
        }

    def text(self):
        name, each = (NEW, 0.02) if self.convention == "new" else (OLD, 20.0)
        count, labels = self.requests(), written(self.labels())
        lines = ["# TYPE target_info gauge", f"target_info{{{written(self.target_info())}}} 1"] if self.info else []
        lines += [
            f"# TYPE {name} histogram",
            f'{name}_bucket{{{labels},le="+Inf"}} {count}',
            f"{name}_sum{{{labels}}} {count * each}",
            f"{name}_count{{{labels}}} {count}",
        ]
        return "\n".join(lines) + "\n"

    def protobuf(self):
        name = NEW if self.convention == "new" else OLD
        count = self.requests()
        pages = [family(name, 4, pairs(self.labels()) + native_histogram(count, -5, count * 0.02))]
        if self.info:
            pages.insert(0, family("target_info", 1, pairs(self.target_info()) + message(2, double(1, 1.0))))
        return b"".join(pages)


def every_shape():
    """All that make sense: who sends to a gateway or collector writes classic text."""
    for sdk, convention, histogram, info, path in itertools.product(
        SDKS, CONVENTIONS, HISTOGRAMS, (True, False), PATHS
    ):
        if histogram == "classic" or path == "direct":
            yield Shape(sdk, convention, histogram, info, path)
    for sdk, path in itertools.product(SDKS, ("collector", "gateway")):
        yield Shape(sdk, "new", "classic", True, path, crashed=True)


FEW = (
    Shape("java", "new", "classic", True, "direct"),
    Shape("go", "new", "classic", True, "collector"),
    Shape("dotnet", "new", "classic", True, "gateway"),
    Shape("python", "old", "classic", True, "direct"),
    Shape("node", "old", "classic", True, "collector"),
    Shape("java", "new", "native", True, "direct"),
    Shape("go", "new", "classic", False, "direct"),
    Shape("python", "new", "classic", True, "collector", crashed=True),
)


@contextmanager
def scraped(folder, shapes, *more_rules):
    """The address of a Prometheus that scrapes services of these shapes, each by a job of its own."""
    pages = {f"/{each.name}": each for each in shapes}

    def answer(path):
        shape = pages[path]
        return (shape.protobuf(), PROTOBUF) if shape.histogram == "native" else (shape.text().encode(), TEXT)

    def jobs(address):
        return [
            {
                "job_name": each.name if each.path == "direct" else f"{each.path}-of-{each.name}",
                "metrics_path": f"/{each.name}",
                "honor_labels": each.path != "direct",
                "static_configs": [{"targets": [address]}],
            }
            for each in shapes
        ]

    with prometheus_of(folder, answer, jobs, (*NEEDED, *more_rules)) as address:
        yield address


@contextmanager
def prometheus_of(folder, answer, jobs, rules):
    """The address of a Prometheus that keeps native histograms, too.

    Args:
        folder: for its settings and data.
        answer: gives the body and content type of a path; 503 where it is None.
        jobs: gives the scrape_configs of the address that answers so.
        rules: names of files in the folder of rules, without `.yml`.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = answer(self.path.partition("?")[0])
            body, kind = found or (b"", TEXT)
            self.send_response(200 if found else 503)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "scrape_configs": jobs(f"127.0.0.1:{server.server_port}"),
        "rule_files": [str(RULES / f"{name}.yml") for name in rules],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    try:
        with running(folder, "--enable-feature=native-histograms") as address:
            yield address
    finally:
        server.shutdown()
        server.server_close()


def written(labels):
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


# --- protobuf, as far as it is needed


def varint(value):
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def zigzag(value):
    return 2 * value if value >= 0 else -2 * value - 1


def number(field, value):
    return varint(field << 3) + varint(value)


def double(field, value):
    return varint(field << 3 | 1) + struct.pack("<d", value)


def message(field, body):
    return varint(field << 3 | 2) + varint(len(body)) + body


def native_histogram(count, bucket, total):
    """All observations in one bucket, up to 2 ** bucket seconds, that take `total` seconds together."""
    span = number(1, zigzag(bucket)) + number(2, 1)
    return message(
        7,
        number(1, count) + double(2, total) + number(5, zigzag(0)) + double(6, 1e-9) + number(7, 0)
        + message(12, span) + number(13, zigzag(count)),
    )  # fmt: skip


def pairs(labels):
    return b"".join(
        message(1, message(1, name.encode()) + message(2, value.encode())) for name, value in labels.items()
    )


def family(name, kind, *metrics):
    body = message(1, name.encode()) + message(2, b"A metric.") + number(3, kind)
    body += b"".join(message(4, metric) for metric in metrics)
    return varint(len(body)) + body
