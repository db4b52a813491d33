"""How often a release that is no worse would be rolled back: simulated good releases, judged by our own evidence.

Each trial is an hour of the older version, and half an hour of a release whose failures follow the same law. It is
looked at every 5 s. numpy draws the counts, and finds the looks at which the plain number is past what is needed.
Whether such a look decides, `judgement.evidence` says: what is learnt, what is weighed, and what has lasted. No alert
has to fire first, so the rate of a running controller is lower. `--trials N` for each law.
"""

import argparse
import time

import numpy as np

from rearguard_controller.judgement import evidence
from rearguard_controller.model import Caution
from rearguard_controller.model.counts import Counts, Tally

STEP, BEFORE, AFTER = 5.0, 720, 360  # seconds, and steps of the hour before and of the half hour after the release
AT_ONCE = 1000  # trials that are drawn together
PER_BLOCK = int(evidence.BLOCK / STEP)


def independent(share):
    """Failures that come one by one."""
    return lambda chance, n: chance.binomial(n, share)


def clumped(share, size):
    """Failures that come together, `size` of them in the mean (geometric)."""

    def draw(chance, n):
        clumps = chance.binomial(n, share / size)
        more = chance.negative_binomial(np.maximum(clumps, 1), 1 / size)
        return np.minimum(clumps + np.where(clumps > 0, more, 0), n)

    return draw


def wandering(share, spread):
    """A share that wanders: lognormal with this spread, correlated over 50 s."""

    def draw(chance, n):
        keep = np.exp(-STEP / 50)
        noise = chance.standard_normal(n.shape)
        z = np.empty(n.shape)
        z[:, 0] = noise[:, 0]
        for step in range(1, n.shape[1]):
            z[:, step] = keep * z[:, step - 1] + np.sqrt(1 - keep**2) * noise[:, step]
        return chance.binomial(n, np.minimum(share * np.exp(spread * z - spread**2 / 2), 1.0))

    return draw


# Name: requests a second, the law of failures, and the rate that is promised.
LAWS = {
    "independent, 0.1 %, 40/s": (40, independent(0.001), 1e-4),
    "independent, 1 %, 40/s": (40, independent(0.01), 1e-4),
    "independent, 5 %, 5/s": (5, independent(0.05), 1e-4),
    "independent, 5 %, 1/s": (1, independent(0.05), 1e-4),
    "independent, 8 %, 5/s": (5, independent(0.08), 1e-4),
    "independent, 1 %, 1/s": (1, independent(0.01), 1e-4),
    "independent, 2 %, 0.2/s": (0.2, independent(0.02), 1e-4),
    "clumps of 5, 1 %, 40/s": (40, clumped(0.01, 5), 1e-4),
    "clumps of 20, 1 %, 40/s": (40, clumped(0.01, 20), 1e-4),
    "clumps of 20, 0.5 %, 5/s": (5, clumped(0.005, 20), 1e-4),
    "wandering base, lognormal 0.5, 1 %, 40/s": (40, wandering(0.01, 0.5), 1e-3),
}


def false_rollbacks(rate, law, trials, seed, caution=Caution.STANDARD):
    """How many of so many good releases would be rolled back."""
    chance = np.random.default_rng(seed)
    found = 0
    for start in range(0, trials, AT_ONCE):
        here = min(AT_ONCE, trials - start)
        n = chance.poisson(rate * STEP, (here, BEFORE + AFTER))
        x = law(chance, n)
        found += sum(rolled_back(requests, failures, caution) for requests, failures in zip(n, x, strict=True))
    return found


def rolled_back(n, x, caution=Caution.STANDARD):
    """Whether any look at the release decides."""
    before = [
        Tally(evidence.BLOCK * (place + 1) - BEFORE * STEP, float(requests), float(failures))
        for place, (requests, failures) in enumerate(
            zip(n[:BEFORE].reshape(-1, PER_BLOCK).sum(1), x[:BEFORE].reshape(-1, PER_BLOCK).sum(1), strict=True)
        )
    ]
    n, x = n[BEFORE:], x[BEFORE:]
    share, enough = evidence.allowed(before), evidence.needed(evidence.FALSE_ALARMS[caution])
    looks = np.flatnonzero(plain(n, x, share) >= enough)
    if not looks.size:
        return False  # clumping only makes it less
    learnt = evidence.Learnt(share, evidence.clumping(before))
    own = tuple(Tally(STEP * (k + 1), float(a), float(b)) for k, (a, b) in enumerate(zip(n, x, strict=True)))
    return any(decides(own[: look + 1], learnt, caution) for look in looks)


def decides(own, learnt, caution=Caution.STANDARD):
    """As a decision asks: enough evidence, and no blip."""
    found = evidence.weigh(Counts("v2", "v1", own), caution, learnt)
    hold = evidence.HOLDS[caution].alone
    return found is not None and found.suffices and evidence.has_lasted(own, learnt.share, hold)


def plain(n, x, share):
    """The most evidence of the windows at each look, without clumping: which looks are worth a judgement."""
    most = np.zeros(len(n))
    for seconds in evidence.WINDOWS:
        steps = int(seconds / STEP)
        asked, failed = (np.convolve(each, np.ones(steps))[: len(n)] for each in (n, x))
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.clip(failed / asked, 1e-12, 1 - 1e-12)
            nats = asked * (p * np.log(p / share) + (1 - p) * np.log((1 - p) / (1 - share)))
        most = np.maximum(most, np.where((asked > 0) & (p > share), nats, 0))
    return most + 1e-6  # no look is lost to rounding


def main():
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--trials", default=30_000, type=int, help="good releases of each law")
    reading.add_argument("--law", default="", help="only laws with this in their name")
    reading.add_argument("--caution", default="standard", type=Caution)
    options = reading.parse_args()
    print(f"{'good releases with failures':<44} {'trials':>8} {'rolled back':>12} {'at most, 95 %':>14} {'asked':>8}")
    for seed, (name, (rate, law, asked)) in enumerate(LAWS.items()):
        if options.law not in name:
            continue
        began = time.monotonic()
        found = false_rollbacks(rate, law, options.trials, seed, options.caution)
        most = upper(found, options.trials)
        took = f"{time.monotonic() - began:.0f} s"
        print(f"{name:<44} {options.trials:>8} {found:>12} {most:>14.1e} {asked:>8.0e}   {took}", flush=True)


def upper(found, trials):
    """The rate that a Poisson number of findings excludes at 95 %: 3 / trials where nothing was found."""
    low, high = 0.0, 10.0 * (found + 1)
    for _ in range(60):
        middle = (low + high) / 2
        term = total = np.exp(-middle)
        for k in range(1, found + 1):
            term *= middle / k
            total += term
        low, high = (middle, high) if total > 0.05 else (low, middle)
    return high / trials


if __name__ == "__main__":
    main()
