"""Alertmanager: its alerts, whether it holds them back, and its silences.

Here: asking its HTTP API, turning answers into values or `SourceError`.
"""

from rearguard_controller.adapters.alertmanager.answers import ManagedAlert, Matcher, Silence
from rearguard_controller.adapters.alertmanager.client import Alertmanager
from rearguard_controller.adapters.alertmanager.routing import Routing, routing

__all__ = ["Alertmanager", "ManagedAlert", "Matcher", "Routing", "Silence", "routing"]
