"""What to say when a library that is to be measured is not installed."""

from __future__ import annotations

from importlib import import_module


def need(library: str) -> None:
    """Import an optional library.

    Args:
        library: the module's name, which is also the name of Rearguard's extra.

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
            f"instrument_{library} needs the library {library}, which is not installed;"
            f" run: pip install 'rearguard[{library}]'",
            name=library,
        ) from None
