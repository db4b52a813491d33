"""How soon `ReleaseWorse` fires, and how many blips it takes for faults: drawn releases through the real rules.

promtool evaluates the rules every 5 s. Each service is scraped every 5 s at a moment of its own, its older version
serves for five minutes first, and 0.1 % fail before. The fault begins anywhere between two scrapes. A running
controller judges then: delivery adds what it takes. `--services N` for each line, `--only TEXT` for some lines.
"""

import argparse
import random
import re
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from incidents import drawn, failing
from ruled import replayed

STEP, RELEASED, USUAL = 5, 300, 0.001  # seconds between scrapes; when the release comes; share that fails before
FIRST = (
    'min by (service_name) (min_over_time(timestamp(ALERTS{alertname="ReleaseWorse", alertstate="firing"})[2h:5s]))'
)


@dataclass(frozen=True)
class Line:
    """A row of the table: requests a second, share that fails, seconds that the fault lasts and that are watched."""

    name: str
    rate: float  # of all versions
    share: float
    lasts: float = 1e9
    watched: int = 180
    beside: bool = False  # the older version goes on with as many requests


LINES = (
    Line("30 % at 40/s", 40, 0.3),
    Line("30 % at 40/s, beside an older version with 40/s", 80, 0.3, beside=True),
    Line("30 % at 20/s, beside an older version with 20/s", 40, 0.3, beside=True),
    Line("3 % at 40/s", 40, 0.03, watched=400),
    Line("10 % at 40/s", 40, 0.1),
    Line("30 % at 1/s", 1, 0.3, watched=400),
    Line("blip of 10 s at 40/s", 40, 1.0, 10),
    Line("blip of 10 s at 5/s", 5, 1.0, 10),
    Line("blip of 10 s at 1/s", 1, 1.0, 10),
    Line("blip of 10 s at 0.2/s", 0.2, 1.0, 10),
)


def series(line, number, chance):
    """The raw counters of one service, and the second in which its fault begins."""
    phase = chance.randrange(STEP)
    began = RELEASED + 60 + STEP * chance.random()
    end = int(began + line.watched)
    found = []
    served = (("v1", 0, end if line.beside else RELEASED), ("v2", RELEASED + STEP, end))
    for version, start, until in served:
        place = f'job="s{number}", instance="{version}"'
        who = f'service_name="s{number}", service_version="{version}", deployment_environment_name="production"'
        good, bad, scrapes = [0], [0], (until - start) // STEP
        for scrape in range(1, scrapes + 1):
            at = start + phase + STEP * scrape
            hit = max(0.0, min(at, began + line.lasts) - max(at - STEP, began)) / STEP if version == "v2" else 0.0
            asked = drawn(chance, line.rate * STEP * (0.5 if line.beside and at > RELEASED else 1.0))
            struck = sum(chance.random() < hit for _ in range(asked))
            failed = failing(chance, struck, line.share, 1.0) + failing(chance, asked - struck, USUAL, 1.0)
            good.append(good[-1] + asked - failed)
            bad.append(bad[-1] + failed)
        away = f"_x{start + phase} " if start + phase else ""
        metric = "http_server_request_duration_seconds_count"
        for name, values in (
            (f"target_info{{{place}, {who}}}", [1] * (scrapes + 1)),
            (f'{metric}{{{place}, http_response_status_code="200"}}', good),
            (f'{metric}{{{place}, http_response_status_code="500"}}', bad),
        ):
            spaced = " _x4 ".join(map(str, values))
            found.append({"series": name, "values": f"{away}{spaced} _x4 stale"})
    return found, began


def fired(line, services, folder):
    """Seconds from the fault to the alert, of each service; None where none fired."""
    chance = random.Random(line.name)  # noqa: S311
    lines, began = [], {}
    for number in range(services):
        more, began[number] = series(line, number, chance)
        lines += more
    end = RELEASED + 65 + line.watched
    said = replayed(lines, end, every=(1, STEP), folder=folder, expression=FIRST, patience=3000)
    named = re.findall(r'service_name="s(\d+)"\} ([\d.E+]+)', said)
    at = {int(number): float(value) for number, value in named}
    return [at[number] - began[number] if number in at else None for number in range(services)]


def main():
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--services", default=100, type=int, help="drawn services of each line")
    reading.add_argument("--only", default="", help="only lines with this in their name")
    options = reading.parse_args()
    print(f"{'by the rules':<48} {'services':>8} {'fired':>6} {'early':>6} {'mean':>6} {'95 %':>6} {'worst':>6}")
    for line in (each for each in LINES if options.only in each.name):
        with tempfile.TemporaryDirectory() as folder:
            took = fired(line, options.services, Path(folder))
        late = sorted(each for each in took if each is not None and each >= 0)
        early = sum(each is not None and each < 0 for each in took)
        times = f"{statistics.mean(late):>6.1f} {late[int(0.95 * len(late))]:>6.1f} {late[-1]:>6.1f}" if late else ""
        print(f"{line.name:<48} {len(took):>8} {len(late):>6} {early:>6} {times}", flush=True)


if __name__ == "__main__":
    main()
