"""Puts other memory in the place of a mapping, so that whoever still holds a view of it writes there from then on."""

import ctypes
import mmap
from functools import lru_cache
from typing import Any

_FIXED = 0x10  # MAP_FIXED, on Linux, macOS and the BSDs


@lru_cache(maxsize=1)
def _libc_mmap() -> Any:
    # PyDLL: no other thread of Python runs meanwhile.
    call = ctypes.PyDLL(None, use_errno=True).mmap
    call.restype = ctypes.c_void_p
    call.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
    )  # fmt: skip
    return call


def prepare() -> None:
    """Look the call up now, because a process that was just forked should load nothing."""
    _libc_mmap()


def address_of(mapping: mmap.mmap) -> int:
    """Where a mapping begins."""
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))


def make_private(address: int, size: int) -> None:
    """Put empty memory of this process's own there.

    Raises:
        OSError: the system refuses.
    """
    _put(address, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)


def map_again(address: int, size: int, file: int, offset: int) -> None:
    """Put this part of another file there, shared.

    Raises:
        OSError: the system refuses.
    """
    _put(address, size, mmap.MAP_SHARED, file, offset)


def _put(address: int, size: int, flags: int, file: int, offset: int) -> None:
    made = _libc_mmap()(address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags | _FIXED, file, offset)
    if made != address:
        raise OSError(ctypes.get_errno(), "mmap")
