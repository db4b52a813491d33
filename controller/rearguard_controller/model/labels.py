"""Labels, and the names of those that mean something to the controller."""

import re
from collections.abc import Mapping

Labels = Mapping[str, str]

LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # a label's name that PromQL takes without quotes

VERSION_LABEL = "service_version"  # the version as Prometheus shows it; the target's own name for it may differ
DRILL_LABEL = "rearguard_drill"  # marks a drill's alert, with the drill's id: such an alert is never judged
