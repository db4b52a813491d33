"""The typed Python client of the controller's API, which the command line uses, too (docs/client.md).

Here: `client` has a method for each question and command, `connection` sends them. Answers are the dicts of
`json_views`, typed field by field.
"""

from rearguard_controller.client.client import Client, Event
from rearguard_controller.client.connection import (
    DEFAULT_URL,
    PATIENCE,
    ClientTls,
    RemoteError,
    UnknownResultError,
    segment,
)

__all__ = ["DEFAULT_URL", "PATIENCE", "Client", "ClientTls", "Event", "RemoteError", "UnknownResultError", "segment"]
