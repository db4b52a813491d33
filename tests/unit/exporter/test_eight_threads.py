"""Counts of threads that serve at once, beside scrapers: exact, with the interpreter's lock and without it."""

import threading

from prometheus_client.parser import text_string_to_metric_families as parse_text

from rearguard_exporter import Monitor

THREADS, EACH = 8, 400


def test_nothing_is_lost_or_counted_twice_while_eight_threads_serve_and_two_scrape():
    monitor = Monitor("shop", "1.0", "test")
    metrics, connections = monitor._endpoints.metrics, monitor._instruments.socket_connections
    together, over = threading.Barrier(THREADS), threading.Event()

    def bare(_, start_response):
        start_response("200 OK", [])
        return [b"ok"]

    app = monitor.instrument_wsgi(bare)

    def serve():
        together.wait()
        for number in range(EACH):
            list(app({"REQUEST_METHOD": "GET" if number % 2 else "POST", "PATH_INFO": "/"}, lambda *_: None))
            connections.child(f"/{number % 50}").inc()

    def scrape():
        while not over.is_set():
            metrics.submit("", "").result(30)
            metrics.render("", "")

    scrapers = [threading.Thread(target=scrape) for _ in range(2)]
    servers = [threading.Thread(target=serve) for _ in range(THREADS)]
    for thread in (*scrapers, *servers):
        thread.start()
    for thread in servers:
        thread.join()
    over.set()
    for thread in scrapers:
        thread.join()
    text = metrics.render("", "").body.decode()
    monitor.close()
    sums = {}
    for family in parse_text(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    assert sums["http_server_request_duration_seconds_count"] == THREADS * EACH
    assert sums["websocket_server_connections_total"] == THREADS * EACH
    assert sums["http_server_active_requests"] == 0
