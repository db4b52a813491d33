"""A real Prometheus for tests.

Here: starting it in a folder that holds its settings, and ending it; a page for it to scrape.
Never here: settings, rules, history, expectations.
"""

import http.server
import threading
from contextlib import contextmanager

from local_stack.binaries import environment, find
from local_stack.process import Program, free_ports


@contextmanager
def running(folder, *options, port=None):
    """The address of a Prometheus that reads `prometheus.yml` of a folder, and has `data` in it."""
    port = port or free_ports(1)[0]
    address = f"http://127.0.0.1:{port}"
    words = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    program = Program(
        "prometheus",
        [find("prometheus"), *words, *options],
        folder=folder,
        log=folder / "log",
        ready_url=f"{address}/-/ready",
        environment=environment(),
    )
    try:
        program.start()
        yield address
    finally:
        program.kill()


@contextmanager
def page(body):
    """The port of a server that answers every request with these bytes."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
