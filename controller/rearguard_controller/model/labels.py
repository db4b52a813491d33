"""Labels, and those of them that have a meaning here."""

from collections.abc import Mapping

Labels = Mapping[str, str]

VERSION_LABEL = "service_version"  # names a version in Prometheus; identities are the release source's own
DRILL_LABEL = "rearguard_drill"  # marks a drill's alert, with the drill's id: such an alert is never judged
