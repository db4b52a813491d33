"""What `rearguard check --live` finds when it asks the real things: each finding is one sentence.

Here: what is asked of Kubernetes, Prometheus and Alertmanager beside the readiness checks, and what is said of it.
Never here: a change of anything. Nothing is written, no Event, no alert.
"""
