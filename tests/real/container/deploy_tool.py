"""A deploy tool with two halves: `release` and `traffic` inside the container ask this machine, which does the work.

So the controller in its container rolls a real shop back that runs beside it. The inner half knows only the standard
library of the image's Python.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from local_stack.process import StackError

INNER = """#!/opt/rearguard/bin/python
import json, pathlib, sys, urllib.error, urllib.request
here = pathlib.Path(__file__)
words = json.dumps([here.name, *sys.argv[1:]]).encode()
try:
    with urllib.request.urlopen((here.parent / "address").read_text(), data=words, timeout=60) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode())
"""


@contextmanager
def deploy_tool(stack, folder):
    """Write the inner half into `folder`, and serve the outer one while the block runs."""

    class Worker(BaseHTTPRequestHandler):
        def do_POST(self):
            name, word, _, *rest = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                code, text = 200, stack.release(word, *rest) if name == "release" else stack.traffic(word)
            except StackError as error:
                code, text = 500, str(error)
            self.send_response(code)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Worker)
    folder.mkdir()
    (folder / "address").write_text(f"http://127.0.0.1:{server.server_port}/")
    for name in ("release", "traffic"):
        (folder / name).write_text(INNER)
        (folder / name).chmod(0o755)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
