"""The load generator wrk and the peer adnanh/webhook: from PATH, else from Debian, unpacked into `.local/`.

Here: finding and fetching these two. Never here: starting them.
"""

import os
import shutil

from local_stack import binaries

_PACKAGES = {"wrk": "wrk", "webhook": "webhook"}


def find(name):
    """The program's path; it is fetched once where it is missing."""
    path = _look(name)
    if path is None:
        binaries.LOCAL.mkdir(parents=True, exist_ok=True)
        binaries.fetch_packages([_PACKAGES[name]])
        path = _look(name)
    if path is None:
        raise binaries.BinaryMissingError(f"{name} is neither installed nor to be had as a package.")
    return path


def _look(name):
    return shutil.which(
        name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), str(binaries.LOCAL / "usr/bin")])
    )
