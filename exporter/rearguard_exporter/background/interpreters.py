"""Sub-interpreters (mod_wsgi has one for each application): one that ends before its threads aborts the process."""

from importlib import import_module

_MODULES = ("_interpreters", "_xxsubinterpreters")  # from Python 3.13 on, and before


def is_sub_interpreter() -> bool:
    """Whether this is not the process's first interpreter. No thread of ours is safe in another one."""
    for name in _MODULES:
        try:
            interpreters = import_module(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() != interpreters.get_main())
    return False
