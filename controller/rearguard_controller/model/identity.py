"""The identity of an alert."""

from __future__ import annotations

from rearguard_controller.model.observations import Alert


def key_of(alert: Alert) -> str:
    """An alert's identity as text: its sorted labels, each with its lengths, so that no two alerts look alike.

    A storm asks for it several times for each alert; quoting the texts takes twice as long.
    """
    return "".join([f"{len(name)}.{len(value)}.{name}{value}" for name, value in sorted(alert.labels.items())])
