"""Generated incidents of clocks that are off, of neighbours that are released, and of bad input."""

import math

from incidents import AFTER, BEFORE, STEP, Incident, Instance, always, bad, both, bound, since, wandering


def clocks():
    """Timestamps that instances, or Prometheus, put on their samples are off by seconds."""
    for off in (-20.0, -10.0, -5.0, -2.0, 2.0, 5.0, 10.0, 20.0):
        late = {"clock": always(off)}
        for share in (0.01, 0.05):
            instances = skewed(both(always(share), always(share), always(20.0)), v2=late)
            yield Incident("clock skew", f"v2 {off:+g} s, base {share:.0%}", instances)
        fails = since(200.0, 0.4, until=500.0)
        for who in ("v1", "v2") if abs(off) <= 10 else ():  # what is further off shows no common cause (judgement.md)
            instances = skewed(both(fails, fails, always(20.0), beside=AFTER), **{who: late})
            yield Incident("clock skew, a fault of both", f"{who} {off:+g} s", instances)
        made = bad("bad, with clock skew", f"v2 {off:+g} s", 0.3, 10)
        skewed(made.instances, v2=late)
        made.fault_at += off
        yield made
    for off in (-20.0, 20.0):
        step = {"clock": lambda t, off=off: off if t > 200 else 0.0}
        instances = skewed(both(always(0.02), always(0.02), always(20.0)), v2=step)
        yield Incident("clock skew", f"v2's clock is set {off:+g} s after 200 s", instances)
        instances = skewed(both(always(0.02), always(0.02), always(20.0), beside=AFTER), v1=step, v2=step)
        yield Incident("clock skew", f"Prometheus' clock is set {off:+g} s after 200 s", instances)
        made = bad("bad, with clock skew", f"Prometheus' clock is set {off:+g} s after 40 s", 0.3, 10)
        skewed(made.instances, v2={"clock": lambda t, off=off: off if t > 40 else 0.0})
        made.fault_at += off
        yield made


def skewed(instances, **of_versions):
    """The instances, with these attributes for each version."""
    for each in instances:
        for name, value in of_versions.get(each.version, {}).items():
            setattr(each, name, value)
    return instances


def neighbours():
    """Another service is released at the same time, and is the one that fails."""
    for p1 in (0.1, 0.3, 1.0):
        fails = since(30.0, p1)
        neighbour = both(always(0.001), fails, always(20.0))
        ours = both(always(0.005), always(0.005), always(20.0))
        yield Incident("another service's release", f"{p1:.0%}, ours is well", ours, neighbour=neighbour)
        both_fail = both(fails, fails, always(20.0), beside=AFTER)
        name = f"{p1:.0%}, both our versions call it"
        yield Incident("another service's release", name, both_fail, neighbour=neighbour)
        ours = both(always(0.001), since(32.0, p1), always(10.0))
        name = f"{p1:.0%}, ours depends on it, and is alone"
        yield Incident("another service's release", name, ours, neighbour=neighbour, depends=True)
    for at in (-300.0, -30.0):
        fails = since(at, 0.3)
        neighbour = [Instance("v1", "a:1", BEFORE, at, always(20.0), always(0.001))]
        neighbour.append(Instance("v2", "b:1", at + STEP, AFTER, always(20.0), always(0.3)))
        ours = both(fails, fails, always(20.0), beside=60.0)
        yield Incident("another service's release", f"{-at:g} s before ours", ours, neighbour=neighbour)


def lives():
    """Two deployments in a minute, and counters that begin anew."""
    for until in (15.0, 40.0):
        for p1 in (0.0, 0.3, 1.0):
            hurts = since(until + 20.0, p1 + 0.001)
            made = [
                Instance("v1", "a:1", BEFORE, 0.0, always(20.0), always(0.001)),
                Instance("v2", "b:1", STEP, until, always(20.0), always(0.001)),
                Instance("v3", "c:1", until + STEP, AFTER, always(20.0), hurts),
            ]
            name = f"v3 after {until:g} s, {p1:.0%} fails"
            if p1:
                earliest = bound(20, p1, 0.001)
                yield Incident("two deployments in a minute", name, made, until + 20.0, earliest, guilty="v3")
            else:
                yield Incident("two deployments in a minute", name, made)
    short = [
        Instance("v1", "a:1", BEFORE, 0.0, always(20.0), always(0.001)),
        Instance("v2", "b:1", STEP, 15.0, always(20.0), always(1.0)),
        Instance("v3", "c:1", 20.0, AFTER, always(20.0), always(0.001)),
    ]
    yield Incident("two deployments in a minute", "v2 fails for 10 s, v3 is well", short)
    for every in (30.0, 60.0):
        made = bad("bad, with counters that begin anew", f"every {every:g} s", 0.3, 20)
        skewed(made.instances, v2={"lives": every})
        yield made
        instances = both(always(0.01), always(0.01), always(20.0))
        skewed(instances, v2={"lives": every})
        yield Incident("counters that begin anew", f"every {every:g} s", instances)


def bad_input():
    """What is no count of requests is no evidence."""
    for labels, name in (("none", "requests have neither status nor error_type"), ("buckets", "no `_count`")):
        instances = both(always(0.001), always(0.5), always(20.0))
        for each in instances:
            each.labels = labels
        yield Incident("no counts", name, instances)
    instances = both(always(0.001), always(0.5), always(20.0))
    instances[1].rate = always(0.0)
    yield Incident("no counts", "no requests", instances)
    for value, name in ((math.nan, "NaN"), (math.inf, "+Inf")):
        for every, only in ((2, False), (3, False), (12, False), (2, True), (3, True)):
            says = lambda t, value=value, every=every: value if t > 100 and int(t / STEP) % every == 0 else 0.0  # noqa: E731
            odd = {"says": says, "says_only_failures": only}
            instances = skewed(both(always(0.02), always(0.02), always(20.0)), v2=odd)
            where = " of failures" * only
            yield Incident("counters that are no numbers", f"{name} in one of {every} scrapes{where}", instances)
        made = bad("bad, with counters that are no numbers", f"{name} in one of 12 scrapes", 0.3, 20)
        skewed(made.instances, v2={"says": lambda t, v=value: v if int(t / STEP) % 12 == 0 else 0.0})
        yield made
    for value, name in ((math.nan, "NaN"), (math.inf, "+Inf")):
        says = lambda t, value=value: value if 200 < t <= 260 else 0.0  # noqa: E731
        instances = skewed(both(always(0.02), always(0.02), always(20.0)), v1={"says": says}, v2={"says": says})
        yield Incident("counters that are no numbers", f"{name} for a minute", instances)
    instances = both(always(0.001), always(0.5), always(20.0))
    instances[1].labels = "nothing"
    yield Incident("no counts", "no data of the release but target_info", instances)


def callers():
    """Services that depend on another one, which fails, or only seems to."""
    kind = "a dependency fails"
    for p1 in (0.05, 0.3, 1.0):
        fails, at = since(30.0, p1), always(20.0)
        for sooner in (0.0, 3.0, 5.0):  # as scrapes fall, the fault shows in its caller first
            ours = both(always(0.001), since(30.0 - sooner, p1), at)
            dependency = both(always(0.001), fails, at)
            yield Incident(kind, f"{p1:.0%}, seen {sooner:g} s sooner", ours, neighbour=dependency, depends=True)
        ours, dependency = both(always(0.001), fails, at), both(always(0.001), fails, at)
        between = both(fails, fails, at, beside=AFTER, canary=0.0)
        name = f"{p1:.0%}, of what it calls through another one"
        yield Incident(kind, name, ours, neighbour=dependency, between=between, depends=True)
        dependency = [Instance("v1", "a:1", BEFORE, AFTER, at, fails)]
        ours = both(always(0.001), fails, at)
        yield Incident(kind, f"{p1:.0%}, not released", ours, neighbour=dependency, depends=True, blamed=False)
    for p1 in (0.3, 1.0):
        fails = since(30.0, p1)
        for rate, part in ((1.0, 1.0), (10.0, 0.1)):  # our requests, and the part of them that call it
            ours = both(always(0.001), since(30.0, p1 * part), always(rate))
            dependency = both(always(0.001), fails, always(rate * part))
            name = f"{p1:.0%} of {rate * part:g}/s, ours {rate:g}/s"
            yield Incident(kind, name, ours, neighbour=dependency, depends=True)
        dependency = both(always(0.001), fails, always(20.0), missed=lambda t: t % 15.0 != 5.0)
        ours = both(always(0.001), fails, always(20.0))
        yield Incident(kind, f"{p1:.0%}, scraped every 15 s", ours, neighbour=dependency, depends=True)
        ours = both(always(0.001), since(30.0, p1), always(20.0), beside=AFTER)
        dependency = [Instance("v1", "a:1", BEFORE, AFTER, always(20.0), fails)]
        name = f"{p1:.0%}, which only the new version calls"
        yield Incident(kind, name, ours, neighbour=dependency, depends=True, blamed=False)
    for p1, rate in ((0.3, 10), (0.05, 40), (1.0, 1)):
        for name, dependency in seeming(rate):
            made = bad("bad, with a dependency", f"{p1:.0%} at {rate}/s, {name}", p1, rate)
            made.neighbour, made.depends, made.blamed = dependency, True, False
            yield made


def seeming(rate):
    """Dependencies that are well, or have a little trouble of their own, and explain no fault of their caller."""
    rate = float(rate)
    yield "healthy", both(always(0.001), always(0.001), always(rate))
    yield "base of 8 %", both(always(0.08), always(0.08), always(rate))
    yield "failures in clumps of 5", both(always(0.02), always(0.02), always(rate), clump=5.0)
    wanders = wandering(1, 0.01)
    yield "base that wanders", both(wanders, wanders, always(rate))
    yield "few requests", both(always(0.01), always(0.01), always(0.2))
    blip = since(55.0, 0.5, until=65.0)
    yield "a blip of it", both(always(0.001), blip, always(rate))
    yield "fails later", both(always(0.001), since(300.0, 0.01), always(rate))


KINDS = (clocks, neighbours, lives, bad_input, callers)
