"""The controller's benchmarks: ratios to floors and peers of the same run. `make bench`, or name some of them.

Here: which there are, in which order. `--brief` only shows that each still runs: its figures mean nothing.
"""

import signal
import sys

from report import run_all

NAMES = ("accept", "command", "storm", "history", "failover", "workloads", "pages", "fleet")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then, too
    run_all(NAMES, sys.argv[1:])
