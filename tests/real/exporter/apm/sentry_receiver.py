"""A receiver of Sentry's envelopes on loopback, which parses what the real SDK sends.

The format: https://develop.sentry.dev/sdk/data-model/envelopes/ - a line of headers, then for each item a line of
headers and a payload, whose length its header may say.
"""

import gzip
import json
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "4f1c8e7b2a9d4c5f8b3e6a7d9c0f1e2d"


def parse(body):
    """(headers, [(item headers, payload)]) of one envelope; payloads that are JSON are read."""
    head, _, rest = body.partition(b"\n")
    items = []
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        about = json.loads(line)
        if "length" in about:
            size = about["length"]
            payload, rest = rest[:size], rest[size:].removeprefix(b"\n")
        else:
            payload, _, rest = rest.partition(b"\n")
        try:
            items.append((about, json.loads(payload)))
        except ValueError:
            items.append((about, payload))
    return json.loads(head), items


class SentryReceiver:
    """Keeps every item by its type. `behave(handler)` answers in its stead, if it is given."""

    def __init__(self, behave=None):
        self.items = []
        self.encodings = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                encoding = self.headers.get("Content-Encoding", "")
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.encodings.add(encoding)
                if encoding == "gzip":
                    body = gzip.decompress(body)
                elif encoding == "deflate":
                    body = zlib.decompress(body)
                assert self.path == "/api/42/envelope/", self.path
                receiver.items += parse(body)[1]
                if behave is not None:
                    behave(self)
                    return
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.dsn = f"http://{KEY}@127.0.0.1:{self.server.server_port}/42"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, kind):
        """The payloads of this type: event, transaction, session, profile …"""
        return [payload for about, payload in list(self.items) if about["type"] == kind]

    def wait(self, kind, count, seconds=20.0):
        """The payloads of this type once there are `count`."""
        deadline = time.monotonic() + seconds
        while len(self.of(kind)) < count:
            assert time.monotonic() < deadline, (kind, self.items)
            time.sleep(0.02)
        return self.of(kind)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
