"""From values to the bytes that Prometheus reads."""
