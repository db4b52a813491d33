"""By which exceptions WSGI servers tell that a caller left."""


def tells_of_a_leaver(failure: BaseException | None) -> bool:
    """Whether a server raises this where it sends to, or reads from, a caller who left."""
    # waitress's own class is no OSError.
    return isinstance(failure, OSError) or type(failure).__name__ == "ClientDisconnected"
