"""The identity of an alert. Apart from the alerts themselves, so that who only reads them loads no library for it."""

from __future__ import annotations

import orjson

from rearguard_controller.model.observations import Alert


def key_of(alert: Alert) -> str:
    """An alert's identity as text: its sorted labels, quoted so that different alerts never look the same."""
    try:
        return orjson.dumps(alert.labels, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # text that no UTF-8 can hold
        return repr(sorted(alert.labels.items()))
