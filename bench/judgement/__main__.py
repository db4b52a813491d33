"""The corpus of judgement: incidents with known truth, judged by the controller's own back-test.

Each incident is a service with raw counters in the blocks of a real Prometheus, without any rule of ours. The
back-test reads them and judges them with all questions of a decision. What no share of errors shows is replayed
through the rules (`ruled.py`). `--kind NAME` judges the incidents of one kind. `nulls.py` counts false rollbacks.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import ruled
import shapes
from corpus import all_of
from incidents import BEFORE, STEP
from scraped import named, neighbour_of, services_of, written

from real.controller.past import Past, remembered
from rearguard_controller import backtest
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config.configuration import PrometheusSettings
from rearguard_controller.model import Caution, StormLimit
from unit.controller.factories import policy, target

DAY = 86_400
NO_STORM = StormLimit(
    100_000, 300.0
)  # the incidents happen at once, of services that have nothing to do with each other


async def judged(address, incidents, released, caution):
    """By service: the version that would have been rolled back first, and seconds after the release."""
    last = max(one.end for each in incidents for one in each.instances)
    prometheus = Prometheus(PrometheusSettings((address,)), timeout=300.0)
    try:
        history = backtest.History(prometheus, list(_targets(incidents, caution)), lambda *_: None)
        world = await history.read(
            released + BEFORE, released + last, look_every=STEP, storm=NO_STORM, silences=False
        )
    finally:
        await prometheus.close()
    report = backtest.compare(world, backtest.replay(world))
    found = {}
    for each in report.rollbacks:
        decision = each.record.decision
        found.setdefault(decision.target, (decision.from_version, decision.decided_at - released))
    return found


def _targets(incidents, caution):
    for each in incidents:
        names = [name for name, _ in services_of(each)]
        for place, name in enumerate(names):
            labels = {"service_name": name}
            depends = tuple(names[place + 1 : place + 2]) if each.depends else ()
            rules = policy(caution=caution)
            yield target(name=name, match=(labels,), telemetry=labels, policy=rules, depends_on=depends)


def shown(incidents, found):
    """The table, and precision and recall of all."""
    kinds = defaultdict(list)
    for each in incidents:
        kinds[each.kind].append(each)
    print(f"{'kind':<42} {'incidents':>9} {'right':>6} {'seconds to decision: median, worst':>36} {'bound':>6}")
    blamed = right = bad = 0
    for kind, those in kinds.items():
        good = 0
        took, bounds = [], []
        for each in those:
            version, at = found.get(named(each), (None, None))
            early = each.fault_at is not None and at is not None and (at < each.fault_at or version != each.guilty)
            correct = (at is None) if each.fault_at is None else (at is not None and not early)
            if each.neighbour and each.blamed and neighbour_of(each) not in found:
                correct = False
                print(f"   the neighbour was not found: {kind}, {each.name}")
            good += correct
            bad += each.fault_at is not None
            blamed += at is not None
            right += correct and each.fault_at is not None
            if correct and each.fault_at is not None:
                took.append(at - each.fault_at)
                bounds.append(each.bound)
            if not correct:
                print(f"   wrong: {kind}, {each.name}: {'not found' if at is None else f'blamed at {at:g} s'}")
        known = f"{statistics.median(bounds):.0f}" if bounds else ""
        times = f"{statistics.median(took):.0f}, {max(took):.0f}" if took else ""
        print(f"{kind:<42} {len(those):>9} {good:>6} {times:>36} {known:>6}")
    precision, recall = right / blamed if blamed else 1.0, right / bad if bad else 1.0
    for kind in [each for each in kinds if each.startswith("errors")]:
        print(f"\n{kind}: seconds to decision by share and rate, with the bound")
        for each in kinds[kind]:
            _, at = found.get(named(each), (None, None))
            took = "not found" if at is None else f"{at - each.fault_at:.0f}"
            print(f"   {each.name:<28} {took:>9} {each.bound:>6.0f}")
    print(f"\n{len(incidents)} incidents, {bad} of them bad releases: precision {precision:.1%}, recall {recall:.1%}")


def main():
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--kind", default="", help="only incidents of this kind")
    reading.add_argument("--caution", default="standard", type=Caution)
    reading.add_argument("--draw", default=0, type=int, help="other random numbers for the same incidents")
    options = reading.parse_args()
    incidents, by_rules = all_of(options.kind), [each.kind for each in shapes.all_of((*shapes.QUICK, *shapes.LONG))]
    if options.kind in by_rules:
        return ruled.report(options.kind)
    if not incidents:
        kinds = ", ".join(dict.fromkeys([*(each.kind for each in all_of()), *by_rules]))
        sys.exit(f"There is no kind {options.kind!r}. There are: {kinds}.")
    released = float(int(time.time() / DAY) * DAY - 7200)  # the same time of day at each run: steps fall alike
    with tempfile.TemporaryDirectory() as folder:
        past = written(Past(Path(folder), every=STEP), incidents, released, options.draw)
        with remembered(past, "groups: []\n") as address:
            found = asyncio.run(judged(address, incidents, released, options.caution))
    shown(incidents, found)
    if not options.kind:
        ruled.report()
    return None


if __name__ == "__main__":
    main()
