"""The two selectors of a target, `match` for alerts and `telemetry` for figures, against one another. Pure."""

from __future__ import annotations

from rearguard_controller.model import Target, normalised


def differ(target: Target) -> str:
    """Which label `telemetry` wants otherwise than every map of `match`, and what to do; empty if there is none."""
    matches = [normalised(match) for match in target.match]
    for name, value in normalised(target.telemetry).items():
        others = [match.get(name, value) for match in matches]
        if value not in others:
            return (
                f'`telemetry` says {name}="{value}", and `match` {name}="{others[0]}": alerts of one service would be'
                " judged by figures of another. Let both say the same."
            )
    return ""
