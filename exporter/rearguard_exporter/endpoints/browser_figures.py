"""What the dashboard shows of browsers: each page's Web Vitals and errors, timings, and what became of beacons."""

from rearguard_exporter.endpoints.sums import Json, Sum
from rearguard_exporter.values.instruments import Instruments

_P75 = 0.75  # of the page views: by these Web Vitals are judged


def browser_figures(instruments: Instruments) -> Json | None:
    """The figures; None if nothing is measured in browsers."""
    beacons = instruments.beacons.known()
    if not beacons:
        return None
    timings: list[Json] = []
    for (name,), child in sorted(instruments.browser_timing.known().items()):
        held = Sum()
        held.add(child, error=False)
        figures = held.figures()
        timings.append({"name": name, **{key: figures[key] for key in ("count", "mean_s", "p95_s")}})
    return {
        "pages": _pages(instruments),
        "timings": timings,
        "beacons": {result: int(child.counts()[0]) for (result,), child in beacons.items()},
    }


def _pages(instruments: Instruments) -> list[Json]:
    pages: dict[str, Json] = {}
    for vital, slots in instruments.vitals.items():
        sums: dict[str, Sum] = {}
        for (page, _), child in slots.known().items():
            sums.setdefault(page, Sum()).add(child, error=False)
        for page, held in sums.items():
            shown = pages.setdefault(page, {"page": page, "errors": 0})
            shown[f"{vital}_p75" if vital == "cls" else f"{vital}_p75_s"] = held.quantile(_P75)
    for (page, _), child in instruments.browser_errors.known().items():
        shown = pages.setdefault(page, {"page": page, "errors": 0})
        shown["errors"] = int(str(shown["errors"])) + int(child.counts()[0])
    return [pages[page] for page in sorted(pages)]
