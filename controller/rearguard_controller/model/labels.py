"""Labels, and those of them that have a meaning here."""

import re
from collections.abc import Mapping

Labels = Mapping[str, str]

LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # a label's name that PromQL takes without quotes

VERSION_LABEL = "service_version"  # names a version in Prometheus; identities are the release source's own
DRILL_LABEL = "rearguard_drill"  # marks a drill's alert, with the drill's id: such an alert is never judged
