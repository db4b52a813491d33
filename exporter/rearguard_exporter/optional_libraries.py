"""What to say when a library that is to be measured or used is not installed."""

from __future__ import annotations

from importlib import import_module


def need(library: str, extra: str = "", asker: str = "") -> None:
    """Import an optional library.

    Args:
        library: the module's name.
        extra: the name of Rearguard's extra; by default the module's.
        asker: who needs it, for the message; by default the method that instruments it.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it. Other import errors pass
            unchanged.
    """
    try:
        import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise ModuleNotFoundError(
            f"{asker or f'instrument_{library}'} needs the library {library}, which is not installed;"
            f" run: pip install 'rearguard[{extra or library}]'",
            name=library,
        ) from None
