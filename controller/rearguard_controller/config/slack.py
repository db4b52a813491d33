"""The buttons of Slack: the secret that their requests are signed with, and who may press them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rearguard_controller.config.keys.service import SLACK
from rearguard_controller.config.reading import Place


@dataclass(frozen=True, slots=True)
class SlackButtons:
    """Who may approve and veto in Slack.

    Attributes:
        signing_secret_file: holds the secret with which Slack signs what it sends.
        operators: ids of Slack's users, to the names that the audit shows.
    """

    signing_secret_file: Path
    operators: Mapping[str, str]


def slack(place: Place | None, folder: Path) -> SlackButtons | None:
    """What the block says; None if there is none."""
    if place is None:
        return None
    block = place.block(SLACK)
    operators = block.need("operators")
    found = {user: each.line("a name for the audit") for user, each in operators.entries("a mapping").items()}
    if not found:
        raise operators.error("this is empty", "name who may press buttons, as in `U0123456789: alice`")
    for user, each in operators.entries("a mapping").items():
        if not (user.isascii() and user.isalnum() and user[:1] in "UW"):
            raise each.error("this is no id of a user of Slack", "it looks like U0123456789: see the user's profile")
    return SlackButtons(folder / block.need("signing_secret_file").line("a path"), found)
