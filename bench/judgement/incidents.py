"""Generated incidents with known truth: bad releases of many kinds, and innocent ones that look bad.

Here: who serves which version when, how many requests come, and which share of them fails. Times are seconds since
the release. `odd.py` has those of clocks, neighbours and bad input; `corpus.py` numbers them all.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

BEFORE, AFTER, STEP = -2700.0, 1500.0, 5.0
Over = Callable[[float], float]  # of time


@dataclass
class Instance:
    """A process: its version and address, since when and until when it runs, and what it is asked and fails."""

    version: str
    address: str
    start: float
    end: float
    rate: Over  # requests a second
    share: Over  # of them that fail
    clump: float = 1.0  # failures that come at once, in the mean
    missed: Callable[[float], bool] = lambda _: False  # scrapes
    route: str = "/"
    shows_info: bool = True  # of what is at one address, one does
    clock: Over = lambda _: 0.0  # seconds that its timestamps are ahead
    says: Over = lambda _: 0.0  # what is added to its counters: NaN, infinity
    says_only_failures: bool = False  # to that of failures alone
    # "none": requests have neither a status nor an error_type; "buckets": there is no `_count`; "nothing": no metric
    labels: str = "status"
    lives: float = math.inf  # seconds after which its counters begin at 0 again


@dataclass
class Incident:
    """What happened, and the right verdict.

    Attributes:
        fault_at: when the release began to fail; None: it is innocent.
        bound: seconds after that at which it can be known at the earliest, were both shares known (Wald).
        guilty: the version that is to blame, if any is.
        neighbour: another service, whose release is bad.
        between: a service between this one and the neighbour: it calls the neighbour, and this one calls it.
        depends: whether the configuration says that this service depends on the neighbour.
        blamed: whether the neighbour's release has to be found.
    """

    kind: str
    name: str
    instances: list[Instance]
    fault_at: float | None = None
    bound: float = 0.0
    guilty: str = "v2"
    neighbour: list[Instance] = field(default_factory=list)
    between: list[Instance] = field(default_factory=list)
    depends: bool = False
    blamed: bool = True
    seed: int = field(default=0)


def always(value):
    return lambda _: value


def since(at, value, before=0.001, until=math.inf):
    return lambda t: value if at < t <= until else before


def both(v1, v2, rate, *, beside=0.0, canary=0.5, clump=1.0, missed=lambda _: False, gone=None):
    """v1 until the release, or for longer beside v2, which then gets this share of the requests."""
    end = beside or 0.0
    part = (lambda t: rate(t) * (1 - canary) if t > 0 else rate(t)) if beside else rate
    own = (lambda t: rate(t) * canary if t <= end else rate(t)) if beside else rate
    return [
        Instance("v1", "a:1", BEFORE, end, part, v1, clump, missed),
        Instance("v2", "b:1", STEP, AFTER if gone is None else gone, own, v2, clump, missed),
    ]


def bound(rate, p1, p0):
    """Seconds: half a scrape and Wald's ln(1/alpha) / (rate KL(p1, p0))."""
    p1 = min(p1, 0.999999)
    kl = p1 * math.log(p1 / p0) + (1 - p1) * math.log((1 - p1) / (1 - p0))
    return STEP / 2 + math.log(1e4) / (rate * kl)


def bad(kind, name, p1, rate, *, at=60.0, p0=0.001, share=1.0, **how):
    """A release whose requests fail from a moment on; `share` of all requests goes to it."""
    instances = both(always(p0), since(at, p1, p0), always(rate), **how)
    return Incident(kind, name, instances, fault_at=at, bound=bound(rate * share, p1, p0))


def earliest(rate, share, p0, at):
    """The same of a share that changes: seconds from `at` on."""
    nats, seconds = 0.0, 0.0
    while nats < math.log(1e4):
        p = max(share(at + seconds), p0)
        nats += rate * (p * math.log(p / p0) + (1 - p) * math.log((1 - p) / (1 - p0)))
        seconds += 1.0
    return STEP / 2 + seconds


def quarters(kind, p1, rate):
    """Four processes, or four routes of one process, of which one fails."""
    each = always(rate / 4)
    addresses = "abcd" if kind == "one instance of four" else "aaaa"
    made = []
    for number, address in enumerate(addresses):
        share = always(0.001) if number else since(60.0, p1)
        old = Instance("v1", f"old-{address}:1", BEFORE, 0.0, each, always(0.001))
        new = Instance("v2", f"new-{address}:1", STEP, AFTER, each, share)
        for one in (old, new):
            one.route, one.shows_info = f"/{number}", address not in addresses[:number]
        made += [old, new]
    return made


def errors():
    for rate in (1, 5, 40):
        for p1 in (0.03, 0.05, 0.1, 0.3, 1.0):
            if rate * p1 >= 0.15:  # else there is no finding it within the time that is watched
                for at in (30.0, 90.0):
                    yield bad("errors", f"{p1:.0%} at {rate}/s, {at:g} s after", p1, rate, at=at)
    for p1 in (0.05, 0.1, 0.3, 1.0):
        for rate in (10, 40):
            name = f"{p1:.0%} at {rate}/s"
            yield bad("errors beside the older version", name, p1, rate, beside=AFTER, share=0.5)
    for p1 in (0.1, 0.3, 1.0):
        for rate in (20, 100):
            name = f"{p1:.0%} at {rate}/s"
            yield bad("canary of 5 %", name, p1, rate, beside=AFTER, canary=0.05, share=0.05)


def late_or_partial():
    for at in (60.0, 300.0, 600.0, 1200.0, 3000.0, 5400.0):
        gone = max(AFTER, at + 300.0)
        yield bad("delayed", f"by {at:g} s", 0.3, 10, at=at, gone=gone)
        yield bad("delayed", f"by {at:g} s, small", 0.05, 40, at=at, gone=gone)
    for p1 in (0.25, 0.5):
        for rate in (8, 40):
            for kind in ("one instance of four", "one route of four"):
                name = f"{p1:.0%} of a quarter at {rate}/s"
                yield Incident(kind, name, quarters(kind, p1, rate), 60.0, bound(rate, p1 / 4, 0.001))
    for rate, p1 in ((10, 0.3), (40, 0.1)):
        for at in (300.0, 600.0):
            expiring = lambda t, at=at, p1=p1: 0.001 + p1 * (1 - math.exp(-max(t - at, 0.0) / 60))  # noqa: E731
            instances = both(always(0.001), expiring, always(rate))
            name = f"{p1:.0%} at {rate}/s, after {at:g} s"
            yield Incident("after a cache expired", name, instances, at, earliest(rate, expiring, 0.001, at))
    for high in (20, 60):
        load = since(300.0, float(high), 2.0)
        instances = both(always(0.001), since(300.0, 0.3), load)
        yield Incident("only under load", f"{high}/s", instances, 300.0, bound(high, 0.3, 0.001))
    for on in (20.0, 30.0):
        instances = both(always(0.001), in_turns(0.5, on, 60.0), always(20.0))
        yield Incident("comes and goes", f"{on:g} s on, {on:g} s off", instances, 60.0, bound(20, 0.5, 0.001))


def bad_on_odd_ground():
    for p1 in (0.3, 0.6, 1.0):
        yield bad("bad, after a noisy base of 8 %", f"{p1:.0%}", p1, 20, p0=0.08)
        yield bad("bad, with failures in clumps of 5", f"{p1:.0%}", p1, 40, p0=0.01, clump=5.0)
    for p1 in (0.1, 0.5):
        after_incident = lambda t, p1=p1: 0.9 if -1500 < t <= -900 else p1 if t > 60 else 0.001  # noqa: E731
        instances = both(after_incident, after_incident, always(20.0))
        yield Incident("bad, after an incident", f"{p1:.0%}", instances, 60.0, bound(20, p1, 0.001))


def dependencies():
    for p1 in (0.05, 0.2, 0.6):
        for at, name in ((-600.0, "long before"), (-60.0, "right before"), (20.0, "with"), (120.0, "after")):
            for beside in (60.0, 180.0):
                fails, end = since(at, p1), max(at, 0.0) + beside
                what = f"{p1:.0%}, {name} the release, the older one gone after {beside:g} s"
                yield Incident(
                    "dependency fails, then one is gone", what, both(fails, fails, always(20.0), beside=end)
                )
    for p1 in (0.1, 0.5):
        shaky = in_turns(p1, 60.0, 20.0)
        yield Incident("dependency fails in turns", f"{p1:.0%}", both(shaky, shaky, always(20.0), beside=AFTER))
    fails = since(200.0, 0.3, until=400.0)
    for times in (2, 6, 20):
        load = since(200.0, 20.0 * times, 20.0, until=400.0)
        yield Incident("retry storm", f"{times} times the load", both(fails, fails, load, beside=AFTER))


def bases():
    for p0 in (0.02, 0.05, 0.08):
        for rate in (1, 5, 20):
            for number in range(2):
                name = f"{p0:.0%} at {rate}/s, number {number}"
                yield Incident("noisy base", name, both(always(p0), always(p0), always(rate)))
    for clump in (5.0, 20.0):
        for rate in (5, 40):
            for p0 in (0.005, 0.01):
                name = f"{clump:g} at once, {p0:.1%} at {rate}/s"
                yield Incident("failures in clumps", name, both(always(p0), always(p0), always(rate), clump=clump))
    for number in range(8):
        wander = wandering(number, 0.01)
        yield Incident("wandering base", f"number {number}", both(wander, wander, always(40.0)))
    for rate in (0.05, 0.2, 0.5):
        for p0 in (0.0, 0.02):
            yield Incident("low traffic", f"{p0:.0%} at {rate:g}/s", both(always(p0), always(p0), always(rate)))


def blips():
    for seconds in (3.0, 5.0, 10.0):
        for rate in (1, 5, 40):
            for at in (100.0, 402.0):
                blip = since(at, 1.0, until=at + seconds)
                name = f"{seconds:g} s at {rate}/s, at {at:g} s"
                yield Incident("blip", name, both(always(0.001), blip, always(rate)))
    for seconds in (15.0, 20.0, 30.0):
        blip = since(102.0, 1.0, until=102.0 + seconds)
        both_show = both(blip, blip, always(20.0), beside=AFTER)
        yield Incident("blip of both", f"{seconds:g} s", both_show)


def scrapes():
    for number, gap in enumerate((15.0, 40.0, 90.0, 200.0)):
        missed = lambda t, gap=gap: 200 < t <= 200 + gap or -400 < t <= -400 + gap  # noqa: E731
        base = always(0.02 if number % 2 else 0.001)
        yield Incident("scrape gap", f"{gap:g} s", both(base, base, always(20.0), missed=missed))
    for every in (60.0, 120.0):
        lives = [
            Instance("v2", "b:1", STEP + n * every, STEP + (n + 1) * every - STEP, always(20.0), always(0.005))
            for n in range(int(1200 / every))
        ]
        yield Incident("restarts", f"every {every:g} s", [both(always(0.005), always(0), always(20.0))[0], *lives])
    for rate in (5, 40):
        one = Instance("v1", "a:1", BEFORE, 0.0, always(rate), always(0.01))
        two = Instance("v2", "a:1", STEP, AFTER, always(rate), always(0.01))
        yield Incident("both versions on one address", f"{rate}/s", [one, two])


def loads_and_lives():
    for times in (5, 20):
        spike = since(120.0, 4.0 * times, 4.0, until=420.0)
        yield Incident("load spike", f"{times} times", both(always(0.01), always(0.01), spike))
    for share in (0.01, 0.04):
        for most in (22, 60):
            day = lambda t, most=most: most * (0.55 + 0.45 * math.sin(t / 700.0))  # noqa: E731
            name = f"{share:.0%}, a wave of 73 min, up to {most}/s"
            yield Incident("night and day", name, both(always(share), always(share), day))
    for end, share in ((10.0, 1.0), (25.0, 0.02)):
        short = both(always(0.01), always(share), always(20.0), gone=end)
        yield Incident("a version that lives for seconds", f"{end:g} s, {share:.0%} fails", short)
    for share in (0.0, 0.01):
        quiet = both(always(0.0), always(share), lambda t: 20.0 if t > 0 else 0.0)
        yield Incident("older version without traffic", f"{share:.0%}", quiet)
    for count, ends in ((4, AFTER), (4, 600.0), (12, AFTER)):
        name = f"{count} more instances" + ("" if ends == AFTER else f", until {ends:g} s")
        more = [Instance("v2", f"c:{n}", 200.0 + 20 * n, ends, always(5.0), always(0.005)) for n in range(count)]
        yield Incident("autoscaling", name, [*both(always(0.005), always(0.005), always(20.0)), *more])


KINDS = (errors, late_or_partial, bad_on_odd_ground, dependencies, bases, blips, scrapes, loads_and_lives)


def in_turns(share, on, start):
    """This share for `on` seconds, then as long without, from a moment on."""
    return lambda t: share if t > start and t % (2 * on) < on else 0.001


def wandering(seed, mean, spread=0.5):
    """A base rate that wanders: lognormal, half-life about 35 s."""
    chance = random.Random(seed)  # noqa: S311  # a generated incident wants no secret
    z, values = 0.0, []
    for _ in range(int((AFTER - BEFORE) / STEP) + 2):
        z = 0.9 * z + math.sqrt(1 - 0.81) * chance.gauss(0, 1)
        values.append(min(mean * math.exp(spread * z - spread**2 / 2), 1.0))
    return lambda t: values[int((t - BEFORE) / STEP)]


def drawn(chance, mean):
    """A Poisson number."""
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    least, number, product = math.exp(-mean), 0, chance.random()
    while product > least:
        number, product = number + 1, product * chance.random()
    return number


def failing(chance, requests, share, clump):
    """How many of so many requests fail: one by one, or in clumps of this mean size."""
    share = share / clump
    if share >= 1:
        return requests
    if share <= 0:
        return 0
    failures, at = 0, math.log(1 - chance.random()) / math.log(1 - share)
    while at < requests:
        failures += 1 if clump <= 1 else 1 + int(math.log(1 - chance.random()) / math.log(1 - 1 / clump))
        at += 1 + math.log(1 - chance.random()) / math.log(1 - share)
    return min(failures, requests)
