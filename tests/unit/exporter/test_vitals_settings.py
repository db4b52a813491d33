"""What a user may choose about browsers, by argument and by environment, and which page a path is."""

import gzip

import pytest
import requests

from rearguard_exporter import Monitor, Vitals
from rearguard_exporter.browser.script import make
from rearguard_exporter.browser.vitals import resolve_vitals

PAGES = Vitals(["/", "/items/new", "/items/{id}", "/shops/{shop}/{page}", "/blog/*", "/a.c"]).paths


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/", "/"),
        ("/items/7", "/items/{id}"),
        ("/items/new", "/items/new"),  # an exact path wins, wherever it stands
        ("/items/", "__unmatched__"),
        ("/items/7/", "__unmatched__"),
        ("/items/7/8", "__unmatched__"),
        ("/shops/a/b", "/shops/{shop}/{page}"),
        ("/blog/", "/blog/*"),
        ("/blog/2026/a\nb", "/blog/*"),
        ("/blog", "__unmatched__"),
        ("/abc", "__unmatched__"),  # a dot is a dot
        ("", "__unmatched__"),
        ("/items/{id}", "/items/{id}"),
        ("__unmatched__", "__unmatched__"),
    ],
)
def test_a_path_is_one_of_the_listed_pages_or_none(path, page):
    assert PAGES.page_of(path) == page


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: Vitals(["items"]), "a page begins with /"),
        (lambda: Vitals(["/a*b"]), "a \\* at its end only"),
        (lambda: Vitals([7]), "a page begins with /"),
        (lambda: Vitals("/cart"), "pages is a list of texts"),
        (lambda: Vitals([f"/{n}" for n in range(81)]), "at most 80 pages, not 81"),
        (lambda: Vitals(sample=0), "sample is a share above 0"),
        (lambda: Vitals(sample=1.5), "sample is a share above 0"),
        (lambda: Vitals(sample=float("nan")), "sample is a share above 0"),
        (lambda: Vitals(rate=0), "rate is a number"),
        (lambda: Vitals(rate=float("inf")), "rate is a number"),
        (lambda: Vitals(origins=["example.com"]), "an origin is a scheme and a host"),
        (lambda: Vitals(origins=["https://example.com/"]), "an origin is a scheme and a host"),
        (lambda: Vitals(origins=["*"]), "an origin is a scheme and a host"),
        (lambda: Vitals(timings=[f"t{n}" for n in range(51)]), "at most 50 names of timings"),
        (lambda: Monitor("shop", vitals=["cart"]), "a page begins with /"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(made, told):
    with pytest.raises(ValueError, match=told):
        made()


def test_the_environment_says_it_where_no_argument_does():
    environment = {
        "REARGUARD_VITALS_PAGES": "/cart, /items/{id}",
        "REARGUARD_VITALS_SAMPLE": "0.25",
        "REARGUARD_VITALS_ORIGINS": "https://www.example",
        "REARGUARD_VITALS_TIMINGS": "checkout_rendered,search_shown",
        "REARGUARD_VITALS_RATE": "5",
    }
    wanted = Vitals(
        ["/cart", "/items/{id}"], 0.25, ["https://www.example"], ["checkout_rendered", "search_shown"], rate=5
    )
    assert resolve_vitals(None, environment) == wanted
    assert resolve_vitals(["/"], environment) == Vitals(["/"])
    assert resolve_vitals(None, {}) is None
    with pytest.raises(ValueError, match="REARGUARD_VITALS_SAMPLE must be a number, not 'half'"):
        resolve_vitals(None, environment | {"REARGUARD_VITALS_SAMPLE": "half"})


def test_the_script_is_small_and_measures_the_share_that_was_asked_for():
    script = make(0.25)
    assert gzip.decompress(script.compressed) == script.plain
    assert len(script.compressed) < 2000
    assert b"Math.random() < 0.25;" in script.plain
    assert b"SAMPLE" not in script.plain
    assert b"//" not in script.plain.replace(b"://", b"")


def test_without_vitals_browsers_are_not_spoken_of():
    made = Monitor("shop", "1", "test")
    assert made._endpoints.beacons is None
    assert made._endpoints.dashboard.document()["browser"] is None
    made.close()


def test_with_a_port_of_its_own_the_application_still_serves_browsers_and_the_port_does_not():
    made = Monitor("shop", "1", "test", listen="127.0.0.1:0", vitals=["/cart"])
    answers = []
    app = made.instrument_wsgi(lambda _, start: start("404 Not Found", []) or [])
    for path in ("/api/monitoring/vitals.js", "/metrics"):
        app({"REQUEST_METHOD": "GET", "PATH_INFO": path}, lambda status, _: answers.append(status))
    assert answers == ["200 OK", "404 Not Found"]
    address = "http://{}:{}/api/monitoring/vitals.js".format(*made.listen_address)
    assert requests.get(address, timeout=30).status_code == 404
    made.close()
