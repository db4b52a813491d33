"""One outside thing each: programs and HTTP, Prometheus, Alertmanager, notices, metrics. None knows another."""
