"""The exporter's benchmarks: ratios to a floor and to peers of the same run. `make bench`, or name some of them.

Here: which there are, in which order. `--brief` only shows that each still runs: its figures mean nothing.
"""

import importlib
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "controller"))  # its report is ours too

NAMES = ("overhead", "apm", "queries", "exposition", "workers", "junk", "beacons")


if __name__ == "__main__":
    importlib.import_module("report").run_all(NAMES, sys.argv[1:])
