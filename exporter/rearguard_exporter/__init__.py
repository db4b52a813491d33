"""Rearguard exporter: what applications import to be measured."""

from rearguard_exporter.browser.vitals import Vitals
from rearguard_exporter.families import FAMILIES, Family
from rearguard_exporter.monitor import Monitor

__all__ = ["FAMILIES", "Family", "Monitor", "Vitals"]
