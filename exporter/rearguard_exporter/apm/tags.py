"""Who tells something to a vendor: the names and values that the metrics have in `target_info`."""

from typing import NamedTuple

from rearguard_exporter.families import TARGET_INFO
from rearguard_exporter.identity import UNKNOWN, UNKNOWN_SERVICE, Identity


class Tags(NamedTuple):
    """Service, version and environment; None where nobody told them, so that the SDK finds its own."""

    service: str | None
    version: str | None
    environment: str | None

    def labels(self) -> dict[str, str]:
        """What is known, under the names of the metrics' labels."""
        values = (self.service, self.version, self.environment)
        named = zip(TARGET_INFO.labels, values, strict=True)
        return {name: value for name, value in named if value is not None}


def tags_of(identity: Identity) -> Tags:
    """The tags of what `target_info` shows."""
    return Tags(
        None if identity.service == UNKNOWN_SERVICE else identity.service,
        None if identity.version == UNKNOWN else identity.version,
        None if identity.environment == UNKNOWN else identity.environment,
    )
