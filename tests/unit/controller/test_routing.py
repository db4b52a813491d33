"""Routes of Alertmanager as its documentation describes them: whom an alert reaches."""

import pytest
import yaml

from rearguard_controller.adapters.alertmanager.routing import matchers, routing
from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.facts.silences import agrees


def reached(routes, **labels):
    tree = routing(yaml.safe_dump({"route": {"receiver": "top", "routes": routes}, "receivers": [{"name": "top"}]}))
    return tree.reached(labels, lambda matcher, value: agrees(matcher, value, unsure=False))


@pytest.mark.parametrize(
    ("routes", "whom"),
    [
        ([], ("top",)),
        ([{"receiver": "a", "matchers": ["team=web"]}], ("a",)),
        ([{"receiver": "a", "matchers": ["team=web"]}, {"receiver": "b"}], ("a",)),
        ([{"receiver": "a", "matchers": ["team=web"], "continue": True}, {"receiver": "b"}], ("a", "b")),
        ([{"receiver": "a", "matchers": ["team=web"], "continue": True}], ("a",)),
        ([{"receiver": "a", "match": {"team": "web"}, "match_re": {"severity": "crit.*|page"}}], ("a",)),
        ([{"receiver": "a", "match_re": {"severity": "crit"}}], ("top",)),  # anchored
        ([{"receiver": "a", "matchers": ['{team="web",severity!~"warn.*"}']}], ("a",)),
        ([{"receiver": "a", "matchers": ["team!=web"]}], ("top",)),
        ([{"receiver": "a", "matchers": ['cluster=""']}], ("a",)),  # an absent label is an empty one
        ([{"matchers": ["team=web"], "routes": [{"receiver": "b", "matchers": ["severity=page"]}]}], ("top",)),
        ([{"matchers": ["team=web"], "routes": [{"receiver": "b", "matchers": ["severity=critical"]}]}], ("b",)),
    ],
)
def test_the_first_route_that_fits_takes_the_alert_and_the_next_if_it_continues(routes, whom):
    assert reached(routes, team="web", severity="critical") == whom


@pytest.mark.parametrize("text", ["team", "=x", 'a="b', 'a="b" c="d"', "a=~=b,,"])
def test_a_matcher_that_cannot_be_read_is_refused(text):
    with pytest.raises(ShapeError):
        list(matchers(text))


@pytest.mark.parametrize("text", ["", "a: [", "receivers: []", "route: 5", "- a"])
def test_what_is_no_configuration_is_refused(text):
    with pytest.raises(ShapeError):
        routing(text)
