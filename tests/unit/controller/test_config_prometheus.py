"""Several Prometheus in a configuration: which one a target has, and what is said of a mistake."""

import pytest

from rearguard_controller import config
from rearguard_controller.errors import ConfigError

OTHERS = "us: {url: [http://us-a:9090, http://us-b:9090/], token_file: us}"
FILE = """
environment: production
journal: sqlite:////tmp/journal.db
prometheus:
  url: http://eu:9090
  poll_interval: 5s
  others: {OTHERS}
policies: {standard: {mode: observe}}
targets:
  - {name: here, match: {service_name: shop}, release: {prometheus: {}}}
  - {name: there, match: {service_name: shop}, prometheus: us, release: {prometheus: {}}}
MORE
"""
SERVICES = "discover: [{prometheus: {command: {current: [a]}}}]"
WORKLOADS = "discover: [{kubernetes: {namespaces: [shop], selector: a=b, prometheus: asia}}]"


def parsed(tmp_path, others=OTHERS, more="", **changes):
    text = FILE.replace("OTHERS", others).replace("MORE", more)
    for before, after in changes.items():
        text = text.replace(before, after)
    return config.parse(text, file="rearguard.yaml", folder=tmp_path)


def test_a_target_has_the_one_that_it_names_and_each_is_asked_in_its_own_way(tmp_path):
    found = parsed(tmp_path)
    assert [(each.name, each.prometheus) for each in found.targets] == [("here", ""), ("there", "us")]
    first, second = found.prometheus.each
    assert (first.urls, first.poll_interval, first.http.secret_file) == (("http://eu:9090",), 5.0, None)
    assert second.urls == ("http://us-a:9090", "http://us-b:9090")
    assert (second.poll_interval, second.http.secret_file) == (5.0, tmp_path / "us")


def test_workloads_that_are_found_have_the_one_that_their_entry_names(tmp_path):
    found = parsed(tmp_path, others=f"{OTHERS}, asia: {{url: http://asia:9090}}", more=WORKLOADS)
    assert [each.prometheus for each in found.discover] == ["asia"]


def test_where_services_are_found_in_each_none_need_be_named(tmp_path):
    found = parsed(tmp_path, others=f"{OTHERS}, asia: {{url: http://asia:9090}}", more=SERVICES)
    assert [each.name for each in found.prometheus.each] == ["", "us", "asia"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"others": "usa: {url: http://us:9090}"}, "targets[1].prometheus: there is no Prometheus 'us'|'usa'?"),
        ({"others": "us: {url: http://eu:9090}"}, "others.us.url: http://eu:9090 stands in prometheus, too|a list"),
        ({"others": f"{OTHERS}, asia: {{url: http://us-b:9090}}"}, "http://us-b:9090 stands in prometheus.others.us"),
        ({"others": f"{OTHERS}, asia: {{url: http://asia:9090}}"}, "no target is judged by it|`prometheus: asia`"),
        ({"others": "us: {url: http://us:9090, poll_interval: 3s}"}, "poll_interval: unknown key"),
        ({"others": "us: {}"}, "prometheus.others.us: the key 'url' is missing"),
        ({"others": "u s: {url: http://us:9090}"}, "prometheus.others.u s: this is no name"),
        ({"more": WORKLOADS}, "discover[0].kubernetes.prometheus: there is no Prometheus 'asia'"),
        ({"  others: {" + OTHERS + "}\n": ""}, "there is no Prometheus 'us'|add `others: {us: {url: ...}}`"),
    ],
)
def test_a_mistake_is_told_with_what_to_write(tmp_path, change, told):
    with pytest.raises(ConfigError) as refused:
        parsed(tmp_path, **change)
    for part in told.split("|"):
        assert part in f"{refused.value.message} {refused.value.hint}"
