"""What must have been recorded, derived from what the caller saw and from what the handler did."""

from dataclasses import dataclass

from real.exporter.oracle.behaviours import Behaviour
from real.exporter.oracle.wire import Seen


@dataclass(frozen=True)
class Recorded:
    """What the exporter shows of one request."""

    status: str
    is_error: bool  # there is an error type


def truth(behaviour: Behaviour, seen: Seen) -> Recorded:
    """The one right record of this request: 499 only where the caller left first."""
    if seen.left:
        return Recorded("499", is_error=False)
    if seen.status is None:
        return Recorded("500", is_error=True)
    return Recorded(str(seen.status), is_error=behaviour.fails or not seen.whole or seen.status >= 500)
