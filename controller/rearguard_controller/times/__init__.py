"""Times as text and as numbers: durations as Prometheus writes them, and moments from outside with their bounds."""
