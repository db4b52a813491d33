"""The services, each by its own wire format: what is sent for a message, and what an answer means.

Here: which module speaks to which service. Each module is pure: a message in, requests out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rearguard_controller.adapters.notices.kinds import pagerduty, slack, webhook
from rearguard_controller.adapters.notices.message import Message
from rearguard_controller.adapters.notices.post import Known, Post, To
from rearguard_controller.config import ReceiverKind

_POSTS: Mapping[ReceiverKind, Callable[[Message, To, Known], Sequence[Post]]] = {
    ReceiverKind.WEBHOOK: webhook.posts,
    ReceiverKind.SLACK: slack.posts,
    ReceiverKind.PAGERDUTY: pagerduty.posts,
}


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """The requests that tell a service of a message, in order; none if it is not for such a service.

    `known` is what the service said of the first message with the same key.
    """
    return _POSTS[to.kind](message, to, known)
