"""The controller's benchmarks: ratios to floors and peers of the same run. `make bench`, or name some of them.

Here: which there are, in which order. Never here: measuring.
"""

import importlib
import signal
import sys

from report import Report, machine

NAMES = ("accept", "command", "storm", "history", "failover")


def main(names):
    report = Report()
    report.note(machine())
    for name in names or NAMES:
        importlib.import_module(name).run(report)
    report.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then, too
    main(sys.argv[1:])
