"""The exporter's benchmarks: ratios to a floor and to peers of the same run. `make bench`, or name some of them.

Here: which there are, in which order. Never here: measuring.
"""

import importlib
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "controller"))  # its report is ours too

NAMES = ("overhead", "queries", "exposition", "junk")


def main(names):
    shared = importlib.import_module("report")
    report = shared.Report()
    report.note(shared.machine())
    for name in names or NAMES:
        importlib.import_module(name).run(report)
    report.close()


if __name__ == "__main__":
    main(sys.argv[1:])
