"""Labels, the names of those that mean something to the controller, and when two sets of labels agree.

Here: the one place that knows that a label has an older name. Labels are compared by their newer names. They are
shown by the names that they really have, and so are alerts identified.
"""

import re
from collections.abc import Mapping

Labels = Mapping[str, str]

LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # a label's name that PromQL takes without quotes

SERVICE_LABEL = "service_name"
VERSION_LABEL = "service_version"  # the version as Prometheus shows it; the target's own name for it may differ
ENVIRONMENT_LABEL = "deployment_environment_name"
OLDER_ENVIRONMENT_LABEL = "deployment_environment"  # of OpenTelemetry's conventions before 1.27
TWO_NAMED = (ENVIRONMENT_LABEL, OLDER_ENVIRONMENT_LABEL)  # one label: series may have it by either name
UNTOLD = ("unknown", "unknown_service")  # values of the exporter where nobody told it service, version, environment
NO_VERSION = ("", "unknown")  # values of it, in lower case, that tell nothing
DRILL_LABEL = "rearguard_drill"  # marks a drill's alert, with the drill's id: such an alert is never judged


def normalised(labels: Labels) -> Labels:
    """The same labels by their newer names; if both names are there, the newer one counts."""
    older = labels.get(OLDER_ENVIRONMENT_LABEL)
    if older is None:
        return labels
    others = {name: value for name, value in labels.items() if name != OLDER_ENVIRONMENT_LABEL}
    return {**others, ENVIRONMENT_LABEL: others.get(ENVIRONMENT_LABEL) or older}


def agree(one: Labels, other: Labels) -> bool:
    """Whether no label stands in both with different values, whichever of its names each uses."""
    one, other = normalised(one), normalised(other)
    return all(other.get(name, value) == value for name, value in one.items())


def is_subset(smaller: Labels, larger: Labels) -> bool:
    """Whether every label of `smaller` stands in `larger` with the same value, whichever of its names each uses."""
    for name, value in smaller.items():  # no generator: every alert of a storm is asked for this several times
        if larger.get(name) != value:
            break
    else:
        return True
    if OLDER_ENVIRONMENT_LABEL not in larger and OLDER_ENVIRONMENT_LABEL not in smaller:
        return False
    known = normalised(larger)
    return all(known.get(name) == value for name, value in normalised(smaller).items())
