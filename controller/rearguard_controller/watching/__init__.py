"""Polls Prometheus and every target, says whether a target could be rolled back, and drills it."""
