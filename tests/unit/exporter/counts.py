"""What a monitor counted of requests, read from its instruments. Never here: applications, expectations."""


def counted(monitor):
    """How often each (status, error_type) was counted."""
    known = monitor._instruments.http_duration.known()
    return {key[2:]: sum(child.counts()[:-1]) for key, child in known.items()}


def told(monitor):
    """As `counted`, of the kinds that there were."""
    return {kind: count for kind, count in counted(monitor).items() if count}


def routes(monitor):
    """How often each route was counted."""
    known = monitor._instruments.http_duration.known()
    return {key[1]: sum(child.counts()[:-1]) for key, child in known.items()}


def seconds(monitor):
    """The time of all requests, which were of one kind."""
    (child,) = monitor._instruments.http_duration.known().values()
    return child.counts()[-1]


def active(monitor):
    """How many requests are under way."""
    return sum(child.counts()[0] for child in monitor._instruments.http_active.known().values())


def in_flight(monitor):
    """Requests in flight, by method and scheme."""
    return {
        (sample.labels["http_request_method"], sample.labels["url_scheme"]): sample.value
        for family in monitor.registry.collect()
        if family.name == "http_server_active_requests"
        for sample in family.samples
    }
