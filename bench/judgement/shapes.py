"""Generated incidents that no share of errors shows: slow answers, silence, restarts, leaks, calls. For `ruled.py`.

Here: what each version's processes show at each scrape. Times are seconds since the release; seeds are fixed.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from incidents import bound, drawn, failing

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MEDIAN, SPREAD = 0.05, 0.82  # seconds, lognormal: 20 % take longer than 0.1 s, 2 % longer than 0.25 s
GIB = 1024.0  # memory counts in MiB


@dataclass
class Process:
    """One address of a version, and what it shows at `at` seconds after the release, by a random source of its own.

    Attributes:
        end: None: for ever.
        rate: requests a second.
        slower: how many times as long its answers take.
        started: when its process started; None: it is down.
        memory: in MiB.
        hangs: requests that it is busy with.
    """

    version: str
    address: str
    start: float
    end: float | None = None
    rate: Callable[[float], float] = lambda _: 5.0
    slower: Callable[[float, random.Random], float] = lambda _at, _chance: 1.0
    started: Callable[[float], float | None] = lambda _: -9000.0
    memory: Callable[[float], float] | None = None
    hangs: Callable[[float], float] | None = None
    timed: bool = False
    bounds: tuple[float, ...] = BOUNDS
    counts: bool = True  # whether its histogram has a `_count`
    caller: bool = False  # it is no process of the service, but of one that calls it
    calls: Callable[[float], float] | None = None  # share of its calls to the service that fail
    fails: Callable[[float], float] = lambda _: 0.0  # share of its own answers that are errors


@dataclass
class Shape:
    """An incident.

    Attributes:
        alert: the one that must fire from `fault_at` on; None: none may but those that warn.
        bound: seconds after the fault at which it can be known at the earliest; see docs/judgement.md.
        never: an alert that may not fire, though it only warns.
        of_caller: the alert must be about the caller.
    """

    kind: str
    name: str
    processes: list[Process]
    alert: str | None = None
    fault_at: float = 0.0
    bound: float = 0.0
    never: str = ""
    of_caller: bool = False
    seed: int = field(default=0)


def after(at, value, before=0.0):
    return lambda t: value if t > at else before


def pair(*, old=None, new=None, beside=False, **both):
    """v1, and v2 from the release on; v1 goes on beside it or is gone."""
    return [
        Process("v1", "a:1", -math.inf, None if beside else 0.0, **{**both, **(old or {})}),
        Process("v2", "b:1", 5.0, **{**both, **(new or {})}),
    ]


def times(factor, part=1.0, start=0.0, end=math.inf):
    return lambda at, chance: factor if start < at <= end and (part == 1 or chance.random() < part) else 1.0


def known_slow(rate, factor, part=1.0):
    """Seconds by Wald, of the bucket that tells most."""
    slow = lambda bound, median: math.erfc(math.log(bound / median) / SPREAD / math.sqrt(2)) / 2  # noqa: E731
    before = [slow(each, MEDIAN) for each in BOUNDS]
    after_it = [part * slow(each, MEDIAN * factor) + (1 - part) * p0 for each, p0 in zip(BOUNDS, before, strict=True)]
    return min(bound(rate, p1, p0) for p1, p0 in zip(after_it, before, strict=True))


def slow():
    for rate in (5, 40):
        for factor in (1.5, 2, 4, 20) if rate == 40 else (2, 4, 20):
            for at in (5.0, 90.0):
                made = pair(rate=lambda _, rate=rate: rate, timed=True, new={"slower": times(factor, start=at)})
                known, name = known_slow(rate, factor), f"{at:g} s after"
                yield Shape(f"slow answers, x{factor:g} at {rate}/s", name, made, "ReleaseSlower", at, known)
        made = pair(rate=lambda _, rate=rate: rate, timed=True, new={"slower": times(20, 0.1, 5.0)})
        known, kind = known_slow(rate, 20, 0.1), f"slow answers, a tenth x20 at {rate}/s"
        yield Shape(kind, "5 s after", made, "ReleaseSlower", 5.0, known)
    for rate in (1, 5, 40):
        for number in range(3):
            made = pair(rate=lambda _, rate=rate: rate, timed=True)
            yield Shape("as fast as before", f"{rate}/s, number {number}", made)
    for seconds in (5.0, 10.0):
        made = pair(rate=lambda _: 40, timed=True, new={"slower": times(4, 1.0, 60.0, 60.0 + seconds)})
        yield Shape("slow for a moment", f"{seconds:g} s", made)
    for seconds in (20.0, 60.0):
        made = pair(rate=lambda _: 40, timed=True, new={"slower": times(3, 0.5, 0.0, seconds)})
        yield Shape("cold caches (a warning is right)", f"{seconds:g} s", made)
    for factor in (2, 10):
        shared = times(factor, start=60.0)
        yield Shape("slow in both", f"x{factor:g}", pair(rate=lambda _: 20, timed=True, slower=shared, beside=True))


def known_silent(rate):
    """Seconds in which so many requests a second are missed by luck once in 10,000."""
    return 2.5 + math.log(1e4) / rate


def silent():
    for rate in (2, 10, 40):
        for at in (120.0, 180.0):
            made = pair(
                beside=True, old={"rate": lambda _: 40.0}, new={"rate": lambda t, r=rate, a=at: r if t <= a else 0}
            )
            yield Shape("falls silent", f"{rate}/s, after {at:g} s", made, "ReleaseSilent", at, known_silent(rate))
    for hung in (12, 100):
        new = {"rate": lambda _: 0.0, "hangs": after(5.0, hung)}
        made = pair(beside=True, rate=lambda _: 20.0, new=new)
        yield Shape("hangs from the start", f"{hung} requests", made, "ReleaseSilent", 5.0, known_silent(20))
    made = pair(beside=True, rate=lambda _: 20.0, new={"rate": lambda _: 0.0})
    yield Shape("waits to be switched to (a warning is right)", "beside", made)
    for rate in (0.02, 0.05):
        made = pair(beside=True, rate=lambda _: 20.0, new={"rate": lambda _, rate=rate: rate})
        yield Shape("few requests", f"{rate:g}/s", made)
    yield Shape("nobody asks", "from 150 s on", pair(beside=True, rate=lambda t: 20.0 if t <= 150 else 0.0))
    yield Shape(
        "the older one drains", "in a minute", pair(beside=True, old={"rate": lambda t: 20.0 if t < 60 else 0.0})
    )


def loop(first, every, up=math.inf):
    """A process that starts anew every so often, and is down after `up` seconds of each life."""

    def started(at):
        if at < first:
            return -100.0
        since = (at - first) % every
        return at - since if since <= up else None

    return started


def back_off(at):
    """10 s of life, then down for 10, 20, 40 s and so on."""
    begin, wait = 5.0, 10.0
    while begin + 10.0 + wait <= at:
        begin, wait = begin + 10.0 + wait, 2 * wait
    return begin if at <= begin + 10.0 else None


def crashing(name, started, at=5.0):
    """A crash loop; it is known when it begins anew for the third time, as a threshold says."""
    begun = sorted({started(at + second) for second in range(600)} - {None, started(at)})
    return Shape("crash loop", name, pair(new={"started": started}), "ReleaseRestarts", at, begun[2] - at)


def restarts():
    for every in (10.0, 20.0, 40.0, 90.0):
        yield crashing(f"every {every:g} s", loop(5.0, every))
    for every in (20.0, 40.0):
        yield crashing(f"every {every:g} s, down half of it", loop(5.0, every, up=every / 2))
    yield crashing("waits longer each time", back_off)
    yield crashing("begins after two minutes", loop(120.0, 20.0), 120.0)
    for number in (1, 2):
        made = pair(
            new={"started": lambda at, n=number: max([-100.0, *(60.0 * k for k in range(1, n + 1) if 60 * k <= at)])}
        )
        yield Shape("restarts by hand", str(number), made)
    for every in (60.0, 120.0):
        yield Shape("workers that are replaced on purpose", f"every {every:g} s", pair(started=loop(-9000.0, every)))
    both = pair(beside=True, started=lambda at: loop(60.0, 30.0)(at) if at < 240 else 240.0)
    yield Shape("restart storm of both", "every 30 s", both)
    more = [Process("v2", f"c:{n}", 30.0 * n, started=lambda _, n=n: 30.0 * n) for n in range(1, 7)]
    yield Shape("autoscaling", "six more instances", [*pair(), *more])


def remembers(seed, leak=0.0, base=300.0, warm=60.0, since=5.0):
    """Memory as shared models have it: warms up, wanders by 8 MiB, and a collector lets it rise by 20 MiB."""
    chance, values, z = random.Random(seed), {}, 0.0  # noqa: S311
    keep = math.exp(-15 / 300)
    for step in range(-400, 400):
        z = keep * z + math.sqrt(1 - keep**2) * chance.gauss(0, 1)
        values[step] = 8 * z + 2 * chance.gauss(0, 1)

    def memory(at):
        age = max(at - since, 0.0)
        return (
            base + warm * (1 - math.exp(-age / 240)) + values[int(at // 15)] + 20 * ((at / 90) % 1) + leak / 60 * age
        )

    return memory


def leaks():
    old = lambda seed, leak=0.0: {"memory": remembers(seed, leak, since=-2400.0)}  # noqa: E731
    for leak in (6.0, 12.0, 20.0):
        for number in range(3):
            made = pair(old=old(10 + number), new={"memory": remembers(20 + number, leak)})
            known = 0.02 * GIB / leak * 60  # until it grew by what is tolerated
            yield Shape("leak", f"{leak:g} MiB a minute of 1 GiB, number {number}", made, "ReleaseLeaks", 5.0, known)
    for number in range(4):
        made = pair(old=old(30 + number), new={"memory": remembers(40 + number)})
        yield Shape("memory that does not leak", f"number {number}", made)
    made = pair(old=old(50), new={"memory": remembers(51, base=400.0)})
    yield Shape("memory that does not leak", "a third more from the start", made)
    made = pair(old=old(52), new={"memory": remembers(53, warm=120.0)})
    yield Shape("memory that does not leak", "twice the warm-up", made)
    made = pair(old=old(54, 6.0), new={"memory": remembers(55, 6.0)})
    yield Shape("memory that does not leak", "the version before leaked as much", made)


def buckets():
    """Histograms that are not alike."""
    for name, bounds in (("half of them", (0.1, 0.5, 2.5)), ("none in common", (0.07, 0.3, 0.7))):
        made = pair(rate=lambda _: 40, timed=True, new={"bounds": bounds})
        kind = "buckets that differ between versions"
        yield Shape(kind, f"as fast, {name}", made, never="ReleaseSlower")
        slower = {"bounds": bounds, "slower": times(4)}
        if name == "half of them":
            kind, made = f"slow answers, {kind}", pair(rate=lambda _: 40, timed=True, new=slower)
            yield Shape(kind, f"x4, {name}", made, "ReleaseSlower", 5.0, known_slow(40, 4))
    for factor in (1, 4):
        made = pair(rate=lambda _: 40, timed=True, new={"counts": False, "slower": times(factor)})
        yield Shape("a histogram without `_count`", f"x{factor}", made)


def callers():
    """Calls that fail since the callee's release, and those that fail for another reason."""
    hurts, kind = "ReleaseHurtsCallers", "callers of a bad release"
    for rate in (5, 20):
        for p1 in (0.1, 0.5, 1.0):
            share, known = after(30.0, p1, 0.001), bound(rate, p1, 0.001)
            one = [Process("v1", "c:1", -math.inf, caller=True, rate=lambda _, r=rate: r, calls=share, fails=share)]
            name = f"{p1:.0%} at {rate}/s, one version of the caller"
            yield Shape(kind, name, [*pair(), *one], hurts, 30.0, known)
            both = of_both({"rate": lambda _, r=rate: r, "calls": share, "fails": share})
            name = f"{p1:.0%} at {rate}/s, both versions of the caller show it"
            yield Shape(kind, name, [*pair(), *both], hurts, 30.0, known)
    for p1 in (0.3, 1.0):
        well, bad = {"calls": lambda _: 0.001, "fails": lambda _: 0.001}, after(30.0, p1, 0.001)
        only_new = of_both({"rate": lambda _: 20, **well}, {"calls": bad, "fails": bad})
        known = bound(20, p1, 0.001)
        made = [*pair(), *only_new]
        yield Shape("the caller is bad", f"{p1:.0%}", made, "ReleaseWorse", 30.0, known, hurts, of_caller=True)
        earlier = after(-120.0, p1, 0.001)
        made = [*pair(), *of_both({"rate": lambda _: 20, "calls": earlier, "fails": earlier})]
        yield Shape("calls that failed before", f"{p1:.0%}", made, never=hurts)
    for share in (0.005, 0.05):
        usual = lambda _, share=share: share  # noqa: E731
        made = [*pair(), *of_both({"rate": lambda _: 20, "calls": usual, "fails": usual})]
        yield Shape("calls that fail as ever", f"{share:.1%}", made, never=hurts)


def of_both(both, new=None):
    """The caller's two versions, released with the callee and beside each other."""
    old = Process("v1", "c:1", -math.inf, caller=True, **both)
    return [old, Process("v2", "d:1", 5.0, caller=True, **{**both, **(new or {})})]


def scraped(shape, start, end, every):
    """By series (metric and labels, as text): its values at each scrape, as promtool writes them."""
    moments = [start + every * step for step in range(int((end - start) / every) + 1)]
    found = {}
    for process in shape.processes:
        found |= _of(process, f"n{shape.seed}", moments, every, random.Random(f"{shape.seed} {process.address}"))  # noqa: S311
    return found


def _of(process, called, moments, every, chance):
    service = f"c{called}" if process.caller else called
    place = f'job="{service}", instance="{process.address}"'
    who = f'service_name="{service}", service_version="{process.version}", deployment_environment_name="production"'
    answered, wrong = (f'{place}, http_route="/", http_response_status_code="{code}"' for code in (200, 503))
    request = "http_server_request_duration_seconds"
    lines = {}
    total, failed, called_wrong, within = 0, 0, 0, [0] * len(process.bounds)
    life = None
    for number, at in enumerate(moments):
        shows = {}
        there = at >= process.start and (process.end is None or at <= process.end)
        started = process.started(at) if there else None
        if there:
            shows[f"up{{{place}}}"] = 1 if started is not None else 0
        if there and started is not None:
            if started != life:
                life, total, within = started, 0, [0] * len(process.bounds)
            n = drawn(chance, process.rate(at) * every)
            total += n
            if process.caller:
                failed += failing(chance, n, process.fails(at), 1.0)
                called_wrong += failing(chance, n, process.calls(at), 1.0)
                shows |= {f"{request}_count{{{wrong}}}": failed, **_calls(place, called, total, called_wrong)}
            if process.timed:
                _answer(process, n, at, within, chance)
                shows |= {
                    f'{request}_bucket{{{answered}, le="{limit:g}"}}': count
                    for limit, count in zip(process.bounds, within, strict=True)
                }
                shows[f'{request}_bucket{{{answered}, le="+Inf"}}'] = total
            shows[f"target_info{{{place}, {who}}}"] = 1
            if process.counts:
                shows[f"{request}_count{{{answered}}}"] = total - failed
            shows[f"process_start_time_seconds{{{place}}}"] = 100_000 + started
            if process.memory is not None:
                shows[f"process_memory_usage_bytes{{{place}}}"] = round(process.memory(at), 1)
                shows[f"process_memory_limit_bytes{{{place}}}"] = GIB
            if process.hangs is not None:
                shows[f'http_server_active_requests{{{place}, http_request_method="GET"}}'] = process.hangs(at)
        for name in {*lines, *shows}:
            values = lines.setdefault(name, ["_"] * number)
            values.append(
                f"{shows[name]:g}" if name in shows else "stale" if values[-1] not in ("_", "stale") else "_"
            )
    return {name: " ".join(values) for name, values in lines.items()}


def _answer(process, n, at, within, chance):
    """Count so many answers in the buckets."""
    took = [MEDIAN * math.exp(SPREAD * chance.gauss(0, 1)) * process.slower(at, chance) for _ in range(n)]
    for each in took:
        for place in range(bisect_left(process.bounds, each), len(within)):
            within[place] += 1


def _calls(place, called, total, failed):
    """What a process shows of its calls."""
    to = f'http_client_request_duration_seconds_count{{{place}, server_address="{called}.shop.svc"'
    return {f'{to}, http_response_status_code="200"}}': total - failed, f'{to}, error_type="timeout"}}': failed}


# Kinds that need minutes, with scrapes of 5 s, and those that need an hour, with scrapes of 15 s.
QUICK, LONG = (slow, silent, restarts, buckets, callers), (leaks,)


def all_of(kinds):
    """Every shape, numbered by its seed."""
    found = [each for kind in kinds for each in kind()]
    for number, each in enumerate(found):
        each.seed = number
    return found
