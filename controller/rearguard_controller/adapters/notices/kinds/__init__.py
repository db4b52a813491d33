"""The services, each by its own wire format: what is sent for a message, and what an answer means.

Here: which module speaks to which service. Each module is pure, a message in and requests
out, but for `by_apprise`, which leaves it to a library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rearguard_controller.adapters.notices.kinds import (
    by_apprise,
    datadog,
    discord,
    grafana,
    opsgenie,
    pagerduty,
    sentry,
    slack,
    teams,
    webhook,
)
from rearguard_controller.adapters.notices.message import Message
from rearguard_controller.adapters.notices.post import Known, Post, To
from rearguard_controller.config import ReceiverKind

__all__ = ["by_apprise", "posts"]

_POSTS: Mapping[ReceiverKind, Callable[[Message, To, Known], Sequence[Post]]] = {
    ReceiverKind.WEBHOOK: webhook.posts,
    ReceiverKind.SLACK: slack.posts,
    ReceiverKind.PAGERDUTY: pagerduty.posts,
    ReceiverKind.OPSGENIE: opsgenie.posts,
    ReceiverKind.TEAMS: teams.posts,
    ReceiverKind.DISCORD: discord.posts,
    ReceiverKind.SENTRY: sentry.posts,
    ReceiverKind.DATADOG: datadog.posts,
    ReceiverKind.GRAFANA: grafana.posts,
}


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """The requests that tell a service of a message, in order; none if it is not for such a service.

    `known` is what the service said of the first message with the same key.
    """
    return _POSTS[to.kind](message, to, known)
