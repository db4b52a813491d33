"""What a benchmark says: each figure with its goal, and whether it is met.

Here: running parts one after another, lines, quantiles, the machine.
"""

import importlib
import os
import platform
import statistics
from pathlib import Path


class Report:
    """Prints figures as they come and remembers which goals were missed."""

    def __init__(self):
        self.missed = []

    def title(self, text):
        print(f"\n== {text}", flush=True)

    def note(self, text):
        print(f"   {text}", flush=True)

    def goal(self, name, value, limit, *, unit="", at_least=False):
        """One figure that has a goal: at most `limit`, or at least."""
        met = value >= limit if at_least else value <= limit
        sign = ">=" if at_least else "<="
        print(
            f"   {name:<58} {value:9.2f}{unit}  goal {sign} {limit:g}{unit}  {'met' if met else 'NOT MET'}",
            flush=True,
        )
        if not met:
            self.missed.append(name)

    def close(self):
        print(f"\n{'every goal met' if not self.missed else 'not met: ' + '; '.join(self.missed)}")


def run_all(names, words):
    """Run these parts, or those that are named; with `--brief` in the small size that each part's BRIEF gives."""
    report = Report()
    report.note(machine())
    if "--brief" in words:
        report.note("brief: this shows that every part runs; the figures mean nothing")
    for name in [word for word in words if word != "--brief"] or names:
        part = importlib.import_module(name)
        if "--brief" in words:
            vars(part).update(part.BRIEF)
        part.run(report)
    report.close()


def quantile(values, share):
    """The value below which this share of them lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def medians(rounds):
    """Per column the median over the rounds."""
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def machine():
    """One line on what it ran on, with the load that was there before."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next(
        (line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine()
    )
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {system}, load before: {load}"
