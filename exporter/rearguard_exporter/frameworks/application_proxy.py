"""A wrapper that passes attributes on to the application that it wraps.

Frameworks keep settings on the application (`app.state`, `app.dependency_overrides`). Whoever holds the wrapper must
reach them through it.
"""

from typing import Any, ClassVar


class ApplicationProxy:
    """Reads, sets and deletes attributes on `app`, except those listed in `OWN`, which belong to the wrapper."""

    OWN: ClassVar[frozenset[str]] = frozenset({"app"})

    def __getattr__(self, name: str) -> Any:
        """The attribute of the application."""
        if name in self.OWN:  # not set yet, while the wrapper is unpickled or copied
            raise AttributeError(name)
        return getattr(self.app, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the attribute on the wrapper if it is listed in `OWN`, else on the application."""
        if name in self.OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.app, name, value)

    def __delattr__(self, name: str) -> None:
        """Delete the attribute of the application."""
        delattr(self.app, name)
