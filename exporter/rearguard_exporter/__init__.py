"""Rearguard exporter: what applications import to be measured."""

from rearguard_exporter.metrics import FAMILIES, Family
from rearguard_exporter.monitor import Monitor

__all__ = ["FAMILIES", "Family", "Monitor"]
