"""Who else changes a workload of Kubernetes, and whether there is room for another version of it."""

from __future__ import annotations

from dataclasses import dataclass

from rearguard_controller.model.codes import OwnerTool

LEFT_PAUSED = "Left paused"  # how the sentence begins by which a step says that a person has something to put back


@dataclass(frozen=True, slots=True)
class Owner:
    """A tool that puts a workload's pod template back, and by which of its objects it does so.

    Attributes:
        kind, name: of that object; the name is empty where it cannot be seen.
        namespace: of that object; empty where it cannot be seen.
    """

    tool: OwnerTool
    kind: str
    name: str = ""
    namespace: str = ""

    @property
    def can_pause(self) -> bool:
        """Whether the controller knows how to pause it."""
        return self.tool in (OwnerTool.ARGO_CD, OwnerTool.FLUX) and bool(self.name and self.namespace)

    def __str__(self) -> str:
        """As people know it: `Argo CD (Application argocd/shop)`."""
        place = f"{self.namespace}/{self.name}" if self.namespace and self.name else self.name
        return f"{self.tool} ({self.kind} {place})" if place else f"{self.tool} ({self.kind})"


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns a workload.

    Attributes:
        fault: why it is not known; empty when it is.
        unpausable: why one of them cannot be paused; empty as long as nothing is known against it.
    """

    owners: tuple[Owner, ...] = ()
    fault: str = ""
    unpausable: str = ""

    def __str__(self) -> str:
        """Their names."""
        return " and ".join(map(str, self.owners))


@dataclass(frozen=True, slots=True)
class Room:
    """Whether a version's pods would find room. Each entry is one sentence.

    Attributes:
        full: what keeps them from coming up.
        notes: what is good to know, and keeps nothing from coming up.
        unknown: what could not be asked.
    """

    full: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
