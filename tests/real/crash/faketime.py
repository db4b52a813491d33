"""A wall clock that jumps: libfaketime, found on this system or fetched from Debian into `.local/`; not installed.

Here: the library's path, and the environment and file by which a process sees a clock that is wrong by an offset.
Never here: what is started with it.
"""

from pathlib import Path

from local_stack import binaries

NAME = "faketime/libfaketime.so.1"
SEEN_WITHIN = 1  # seconds until a jump is seen; always reading the file costs too much


def library():
    """The library's path; fetched the first time.

    Raises:
        BinaryMissingError: it is not here and cannot be fetched.
    """
    for again in (False, True):
        for root in (Path("/"), binaries.LOCAL):
            for found in sorted(root.glob(f"usr/lib/*/{NAME}")):
                return found
        if not again:
            with binaries._one_at_a_time():
                binaries.fetch_packages(["libfaketime"])
    raise binaries.BinaryMissingError("libfaketime was fetched, but it is not where it should be.")


class Clock:
    """The clock of a process; set it while the process runs. What never jumps is left alone."""

    def __init__(self, file):
        self._file = file
        self.jump("+0")

    def jump(self, offset):
        """Be wrong by an offset such as `+1h` or `-3d` from now on."""
        fresh = self._file.with_suffix(".fresh")
        fresh.write_text(offset + "\n")
        fresh.replace(self._file)

    @property
    def environment(self):
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(SEEN_WITHIN),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else threads that wait with a deadline spin, and hold all up
        }
