"""What the controller tells the same vendors of the service whose errors and traces the exporter sends."""

import json

from real.exporter.apm.sentry_receiver import parse
from rearguard_controller.adapters.notices.kinds import posts
from rearguard_controller.adapters.notices.message import message
from rearguard_controller.adapters.notices.notice import Notice
from rearguard_controller.adapters.notices.post import To
from rearguard_controller.config import ReceiverKind
from rearguard_controller.model import Alert, NoticeEvent


def _body(kind, url, labels):
    alert = Alert("HighErrorRate", {"alertname": "HighErrorRate", **labels}, starts_at=1.0)
    told = message(Notice(NoticeEvent.ALERT, 1.0, None, alert=alert))
    return posts(told, To(kind, url), {})[0].data


def sentry_event(labels):
    """The event that tells Sentry of an alert with these labels."""
    _, [(_, event)] = parse(_body(ReceiverKind.SENTRY, "http://key@sentry.example/42", labels))
    return event


def datadog_tags(labels):
    """The tags of the event that tells Datadog of an alert with these labels."""
    return set(json.loads(_body(ReceiverKind.DATADOG, "http://datadog.example", labels))["tags"])
