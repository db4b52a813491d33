"""Scripts of other projects that tests compare with, fetched by npm into `.local/npm/`.

Never here: anything that the product needs. `python -m local_stack.npm_packages` fetches what is missing, once.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from local_stack.binaries import LOCAL, BinaryMissingError

WEB_VITALS = "web-vitals@6.2.3"
_SCRIPT = "package/dist/web-vitals.iife.js"
_LIMIT = 300.0  # seconds for one call of npm


def find() -> Path:
    """The script of web-vitals.

    Raises:
        BinaryMissingError: it was not fetched; the message says what to do.
    """
    script = LOCAL / "npm" / WEB_VITALS / _SCRIPT
    if not script.exists():
        raise BinaryMissingError(f"{WEB_VITALS} was not found. Install npm (Node.js), and run: make setup.")
    return script


def fetch() -> Path:
    """The script of web-vitals, fetched if it is missing. npm verifies what it downloads.

    Raises:
        BinaryMissingError: it cannot be had.
    """
    try:
        return find()
    except BinaryMissingError:
        npm = shutil.which("npm")
        if npm is None:
            raise
    folder = LOCAL / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        command = [npm, "pack", "--silent", "--pack-destination", work, WEB_VITALS]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT, cwd=work)
        archives = list(Path(work).glob("*.tgz"))
        if done.returncode or not archives:
            raise BinaryMissingError(f"npm could not fetch {WEB_VITALS}: {done.stderr.strip()}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(Path(work) / "unpacked", filter="data")
        (folder / WEB_VITALS).mkdir(exist_ok=True)
        (Path(work) / "unpacked/package").rename(folder / WEB_VITALS / "package")  # whole, or not at all
    return find()


def main() -> int:
    """Fetch what is missing and say where it is; returns 0, because only some tests need it."""
    try:
        print(f"{WEB_VITALS}  {fetch()}")
    except (BinaryMissingError, subprocess.SubprocessError, OSError) as error:
        print(f"note: the tests in a browser are left out: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
