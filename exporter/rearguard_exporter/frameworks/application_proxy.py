"""An object in the place of an application: what it is asked for, or given, besides belongs to the application.

Frameworks keep their settings on the application (`app.state`, `app.dependency_overrides`), and whoever holds the
wrapper must reach them through it. Never here: measuring.
"""

from typing import Any, ClassVar


class StandIn:
    """Hands attributes on to `app`, but for those that the class lists as its own."""

    OWN: ClassVar[frozenset[str]] = frozenset({"app"})

    def __getattr__(self, name: str) -> Any:
        """As the application has it."""
        if name in self.OWN:  # not there yet: while being unpickled or copied
            raise AttributeError(name)
        return getattr(self.app, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set it where it belongs."""
        if name in self.OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.app, name, value)

    def __delattr__(self, name: str) -> None:
        """Delete it of the application."""
        delattr(self.app, name)
