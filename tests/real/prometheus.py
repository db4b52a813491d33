"""A real Prometheus for tests.

Here: starting it in a folder that holds its settings, and ending it.
Never here: settings, rules, history, expectations.
"""

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
