"""Several mistakes of a configuration are told at once, and none that only follows from another."""

from pathlib import Path

import pytest

from rearguard_controller import config
from rearguard_controller.errors import ConfigError

GOOD = """
environment: production
journal: sqlite:///var/lib/rearguard/journal.db
prometheus: {url: "http://prometheus:9090"}
policies:
  standard: {mode: act}
  careful: {mode: ask}
targets:
  - name: checkout
    policy: standard
    match: {service_name: checkout}
    release: {kubernetes: {namespace: shop, deployment: checkout}}
  - name: cart
    policy: careful
    match: {service_name: cart}
    depends_on: [checkout]
    release: {kubernetes: {namespace: shop, deployment: cart}}
discover:
  - kubernetes: {namespaces: [pay], selector: "rearguard.dev/watch=true"}
    policy: standard
"""


def mistakes(*changes):
    text = GOOD
    for right, wrong in changes:
        assert right in text
        text = text.replace(right, wrong, 1)
    with pytest.raises(ConfigError) as caught:
        config.parse(text, file="r.yaml", folder=Path("/"))
    return [each.message for each in (caught.value, *caught.value.others)]


def test_the_example_is_right():
    config.parse(GOOD, file="r.yaml", folder=Path("/"))


def test_every_policy_target_and_section_reports_its_own_mistake_in_the_order_of_the_file():
    found = mistakes(
        ("sqlite:///var", "sqlite://var"),
        ("http://prometheus", "ftp://prometheus"),
        ("mode: act", "mode: akt"),
        ("mode: ask", "mood: ask"),
        ("namespace: shop, deployment: checkout", "namespace: Shop, deployment: checkout"),
        ("match: {service_name: cart}", "matsch: {service_name: cart}"),
        ("namespaces: [pay]", "namespaces: []"),
    )
    assert [message.split(": ")[1] for message in found] == [
        "journal",
        "prometheus.url",
        "policies.standard.mode",
        "policies.careful.mood",
        "targets[0].release.kubernetes.namespace",
        "targets[1].matsch",
        "discover[0].kubernetes.namespaces",
    ]


def test_who_names_a_policy_or_target_that_cannot_be_read_is_not_at_fault():
    assert len(mistakes(("mode: act", "mode: akt"))) == 1
    assert len(mistakes(("match: {service_name: checkout}", "match: {}"))) == 1
    assert len(mistakes(("environment: production", "environment: [production]"))) == 1


def test_every_unknown_key_of_a_mapping_is_told():
    found = mistakes(("mode: act", "mood: act, colldown: 5m"), ("environment:", "enviroment:"))
    assert len(found) == 1  # the top of the file first: what is missing there would make others
    found = mistakes(("mode: act", "mood: act, colldown: 5m"))
    assert len(found) == 2
    assert "did you mean 'mode'?" in found[0]
    assert "did you mean 'cooldown'?" in found[1]


def test_two_targets_of_one_name_are_told_beside_other_mistakes():
    found = mistakes(("name: cart", "name: checkout"), ("depends_on: [checkout]", "depends_on: [nobody]"))
    assert len(found) == 2
    assert any("two targets are named 'checkout'" in message for message in found)
    assert any("there is no target 'nobody'" in message for message in found)
