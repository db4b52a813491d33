"""The controller's own metrics: `families` lists them, `registry` holds their values."""

from rearguard_controller.adapters.telemetry.families import FAMILIES, OWN_FAMILIES
from rearguard_controller.adapters.telemetry.registry import Span, Telemetry, step_names

__all__ = ["FAMILIES", "OWN_FAMILIES", "Span", "Telemetry", "step_names"]
