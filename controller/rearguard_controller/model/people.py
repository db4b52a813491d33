"""What people say and do: who, why, and the record that the audit keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """What a person did, when and why: the audit."""

    at: float
    operator: str  # the name before the colon in the token file
    action: str  # trigger | approve | veto | abort | close | arm | disarm | release | drill | reload
    subject: str  # target name or rollback id; "configuration" for a reload
    reason: str


@dataclass(frozen=True, slots=True)
class Said:
    """Who says something, and why."""

    operator: str
    reason: str

    def action(self, action: str, subject: str, at: float) -> OperatorAction:
        """The audit's record of it."""
        return OperatorAction(at, self.operator, action, subject, self.reason)
