"""What is scraped of each incident's instances: samples for the blocks of a Prometheus, or for promtool."""

import math
import random

from incidents import STEP, drawn, failing

from real.controller.past import REQUESTS


def written(past, incidents, released, draw=0):
    """The past of all of them, written into `past`."""
    for each in incidents:
        chance = random.Random(each.seed + 1000 * draw)  # noqa: S311
        for name, instances in services_of(each):
            for one in instances:
                samples(past, name, one, chance, released)
    return past


def named(incident):
    """Its service."""
    return f"s{incident.seed}"


def neighbour_of(incident):
    """The other service."""
    return f"n{incident.seed}"


def services_of(incident):
    """Those that it has, by name, each with its instances. Each calls the next one."""
    own = (named(incident), incident.instances)
    between = (f"m{incident.seed}", incident.between)
    return [each for each in (own, between, (neighbour_of(incident), incident.neighbour)) if each[1]]


def samples(past, name, one, chance, released):
    """What scrapes of an instance left."""
    place = {"job": name, "instance": one.address}
    asked = {"http_route": one.route}
    if one.labels == "buckets":
        asked["le"] = "+Inf"
    metric = REQUESTS.replace("_count", "_bucket") if one.labels == "buckets" else REQUESTS
    answered, failing_ones = {"http_response_status_code": "200"}, {"http_response_status_code": "500"}
    if one.labels == "none":
        answered, failing_ones = {}, {"http_outcome": "failed"}
    total = failed = 0
    last, born = -math.inf, one.start
    for number in range(int((one.end - one.start) / STEP) + 1):
        at = one.start + STEP * number
        if at - born >= one.lives:
            total, failed, born = 0, 0, at
        requests = drawn(chance, one.rate(at) * STEP)
        wrong = failing(chance, requests, one.share(at), one.clump)
        total, failed = total + requests - wrong, failed + wrong
        when = at + one.clock(at)
        if one.missed(at) or when <= last:  # Prometheus takes no sample that is older than the last one
            continue
        odd = one.says(at)
        last, when = when, released + when
        if one.shows_info:
            past.add("target_info", {"service_name": name, **place, "service_version": one.version}, when, when)
        if one.labels == "nothing":
            continue
        past.add(
            metric,
            {**place, **asked, **answered},
            when,
            when,
            written_as(total + (0 if one.says_only_failures else odd)),
        )
        if failed:
            past.add(metric, {**place, **asked, **failing_ones}, when, when, written_as(failed + odd))


def written_as(value):
    """A value as OpenMetrics has it."""
    return "NaN" if math.isnan(value) else "+Inf" if math.isinf(value) else value
