"""How soon a bad release is found: simulated releases whose failures begin at a moment, judged by our own evidence.

Each trial is an hour of the older version, two minutes in which the release is well, and ten minutes in which it
fails more, alone, at `standard`. It is looked at every 5 s, and the fault begins anywhere between two looks. Two
bounds stand beside: Wald's, were both shares known, and the mean of a judge who knows only which share is allowed:
what is needed / (rate x KL(share, allowed)). `--trials N` for each line.
"""

import argparse

import numpy as np
from incidents import bound
from nulls import BEFORE, PER_BLOCK, STEP, decides, independent

from rearguard_controller.judgement import evidence
from rearguard_controller.model import Caution
from rearguard_controller.model.counts import Tally

WELL, LONGEST = 24, 120  # steps before the fault, and after it
FAULTS = ((40, 0.03), (40, 0.05), (40, 0.1), (40, 0.3), (400, 0.03), (5, 0.03), (5, 0.05), (5, 0.1), (1, 0.3))
SHARE = 0.001  # that fails before


def found_after(rate, share, trials, seed):
    """Seconds from the fault to the decision, of each trial; NaN where it is not found."""
    chance = np.random.default_rng(seed)
    took = np.full(trials, np.nan)
    for trial in range(trials):
        n = chance.poisson(rate * STEP, BEFORE + WELL + LONGEST)
        began = chance.random()  # the part of the fault's first step that is well
        p = np.full(len(n), SHARE)
        p[BEFORE + WELL] = began * SHARE + (1 - began) * share
        p[BEFORE + WELL + 1 :] = share
        x = independent(p)(chance, n)
        blocks = [each[:BEFORE].reshape(-1, PER_BLOCK).sum(1) for each in (n, x)]
        before = [
            Tally(evidence.BLOCK * (k + 1 - len(blocks[0])), float(a), float(b))
            for k, (a, b) in enumerate(zip(*blocks, strict=True))
        ]
        learnt = evidence.learn(before)
        own = tuple(
            Tally(STEP * (k + 1), float(a), float(b))
            for k, (a, b) in enumerate(zip(n[BEFORE:], x[BEFORE:], strict=True))
        )
        for look in range(WELL, len(own)):
            if decides(own[: look + 1], learnt):
                took[trial] = own[look].at - STEP * (WELL + began)
                break
    return took


def main():
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--trials", default=1000, type=int, help="bad releases of each line")
    options = reading.parse_args()
    enough = evidence.needed(evidence.FALSE_ALARMS[Caution.STANDARD])
    titles = f"{'mean':>6} {'95 %':>6} {'worst':>6} {'missed':>7} {'Wald':>6} {'allowed known':>14}"
    print(f"{'share that fails':<22} {titles}")
    for seed, (rate, share) in enumerate(FAULTS):
        took = found_after(rate, share, options.trials, seed)
        known = evidence.luck(1, share, evidence.TOLERATED) * rate
        print(
            f"{f'{share:.0%} at {rate}/s':<22} {np.nanmean(took):>6.0f} {np.nanquantile(took, 0.95):>6.0f}"
            f" {np.nanmax(took):>6.0f} {np.isnan(took).mean():>7.1%} {bound(rate, share, SHARE):>6.0f}"
            f" {STEP / 2 + enough / known:>14.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
