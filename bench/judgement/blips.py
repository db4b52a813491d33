"""How many blips would be rolled back: drawn ten seconds in which all requests fail, judged by our own evidence.

Each trial is an hour of the older version, and five minutes of a release with one blip, which begins anywhere between
two looks. 0.1 % of all other requests fail. It is looked at every 5 s, alone, at `standard`, as if an alert fired;
`rules_speed.py` says how many of them the alert fires for. `--trials N` for each rate, `--seconds S` of a blip.
"""

import argparse
import random

from incidents import STEP, drawn, failing

from rearguard_controller.judgement import evidence
from rearguard_controller.model import Caution
from rearguard_controller.model.counts import Counts, Tally

RATES, USUAL = (0.2, 1, 5, 40), 0.001  # requests a second; share that fails
STEPS, BEGINS = 60, 20  # of the release; the step in which the blip begins


def rolled_back(chance, rate, seconds):
    """Whether any look at a release with one blip decides."""
    learnt = evidence.learn([_step(chance, evidence.BLOCK, n - 240, rate, 0.0) for n in range(240)])
    began = STEP * (BEGINS + chance.random())
    own = []
    for number in range(1, STEPS):
        within = min(STEP * number, began + seconds) - max(STEP * (number - 1), began)
        own.append(_step(chance, STEP, number, rate, max(0.0, within) / STEP))
    return any(_decides(tuple(own[: look + 1]), learnt) for look in range(BEGINS, len(own)))


def _step(chance, lasts, number, rate, hit):
    """A step of which a part is hit, and all requests of that part fail."""
    asked = drawn(chance, rate * lasts)
    struck = sum(chance.random() < hit for _ in range(asked))
    return Tally(lasts * number, float(asked), float(struck + failing(chance, asked - struck, USUAL, 1.0)))


def _decides(own, learnt):
    found = evidence.weigh(Counts("v2", "v1", own), Caution.STANDARD, learnt)
    lasted = evidence.has_lasted(own, learnt.share, evidence.HOLDS[Caution.STANDARD].alone)
    return found is not None and found.suffices and lasted


def main():
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--trials", default=1000, type=int)
    reading.add_argument("--seconds", default=10.0, type=float)
    options = reading.parse_args()
    for rate in RATES:
        chance = random.Random(f"{rate}/s")  # noqa: S311
        found = sum(rolled_back(chance, rate, options.seconds) for _ in range(options.trials))
        print(
            f"{options.seconds:g} s of 100 % at {rate:g}/s{found:>8} of {options.trials} are rolled back", flush=True
        )


if __name__ == "__main__":
    main()
