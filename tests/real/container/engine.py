"""The container engine of these tests: real podman with runc, its storage and the base image in `.local/container/`.

No registry of images is reached here. So the Dockerfile's base is made of Debian's own packages, once, and gets the
name that the Dockerfile asks for. Never here: what the images should be, and what runs in them.
"""

import fcntl
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from local_stack.binaries import LOCAL, ROOT

DOCKERFILE = ROOT / "deploy/Dockerfile"
IGNORED = ROOT / "deploy/Dockerfile.dockerignore"
HOME = LOCAL / "container"
SOURCES = HOME / "sources"
NEEDED = ("podman", "runc", "mmdebstrap")
SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
MOMENT = 1_700_000_000  # the time of day that images are told, so that two builds can be the same
REPOSITORY = "localhost/rearguard-test"


class EngineError(Exception):
    """A command of the engine failed, or the engine is not here; the message says what to do."""


def base_name() -> str:
    """Return the image that the Dockerfile is built on."""
    return re.search(r"^ARG BASE=(\S+)", DOCKERFILE.read_text(), re.MULTILINE)[1]


class Engine:
    """Podman with settings of its own; nothing of the machine's other images and containers is seen."""

    def __init__(self):
        lacking = [program for program in NEEDED if shutil.which(program) is None]
        if lacking or os.geteuid() != 0:
            raise EngineError(
                f"The container tests need root and {', '.join(NEEDED)} (missing: {', '.join(lacking) or 'root'}). "
                "On Debian: apt-get install --no-install-recommends podman runc mmdebstrap"
            )
        HOME.mkdir(parents=True, exist_ok=True)
        self.settings = HOME / "containers.conf"
        with self.alone():
            self._write_settings()

    def _write_settings(self):
        limits = []
        for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
            hard = resource.getrlimit(number)[1]
            least = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
            limits.append(f"{name}={least}:{least}")  # limits may only be lowered here
        self.settings.write_text(
            f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n"
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
        )
        (HOME / "pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}\n")

    @contextmanager
    def alone(self):
        """Keep other processes out: several workers of one run share the storage."""
        with (HOME / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def command(self, *words):
        """Return the engine's command line with these words."""
        places = ["--root", HOME / "storage", "--runroot", HOME / "run", "--storage-driver", "overlay"]
        return ["podman", "--runtime", "runc", *places, *words]

    def start(self, *words):
        """Start the engine with these words in the background."""
        environment = os.environ | {"CONTAINERS_CONF": str(self.settings)}
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(*words), env=environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words, within=120, may_fail=False):
        """Return what the engine prints; raises `EngineError` with its words when it fails."""
        return self.finish(self.start(*words), within=within, may_fail=may_fail)

    @staticmethod
    def finish(running, *, within=120, may_fail=False):
        """Wait for what `start` started, and return what it printed."""
        try:
            out, err = running.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
            raise
        if running.returncode and not may_fail:
            raise EngineError(f"{shlex.join(map(str, running.args))}\n{out[-3000:]}\n{err[-3000:]}")
        return out.strip()

    def inspect(self, image):
        """Return what the engine knows about an image."""
        return json.loads(self.run("image", "inspect", image))[0]

    def has(self, image):
        """Whether the image is there."""
        return bool(self.run("images", "--quiet", image))

    def make_base(self):
        """Make the Dockerfile's base of Debian's packages, as the slim image has them: no manuals, a `python`."""
        if self.has(base_name()):
            return
        archive = HOME / "base.tar"
        without = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("man", "doc", "locale")]
        subprocess.run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                "--include=python3,python3-venv,ca-certificates",
                *without,
                '--customize-hook=ln -s python3 "$1/usr/bin/python"',
                SUITE,
                archive,
                MIRROR,
            ],
            check=True,
            timeout=400,
        )
        self.run("import", archive, base_name())
        archive.unlink()

    def keep_sources(self):
        """Copy what enters a build aside: who works on the tree meanwhile does not make two builds differ."""
        shutil.rmtree(SOURCES, ignore_errors=True)
        for line in IGNORED.read_text().splitlines():
            if line.startswith("!"):
                source, copy = ROOT / line[1:], SOURCES / line[1:]
                copy.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy2(source, copy)

    def start_build(self, tag, *, target="controller"):
        """Start building a target of the shipped Dockerfile from the kept sources, and from no layer kept.

        pip trusts what this machine trusts: its own list of certificates is lent to the steps, not to the image.
        """
        lent = [f"{CERTIFICATES}:{CERTIFICATES}:ro", f"{HOME}/pip.conf:/etc/pip.conf:ro"]
        return self.start(
            "build",
            "--network=host",
            "--no-cache",
            f"--timestamp={MOMENT}",
            *(f"--volume={each}" for each in lent if Path(each.split(":")[0]).exists()),
            *("--file", DOCKERFILE, "--ignorefile", IGNORED),
            *("--target", target, "--tag", f"{REPOSITORY}:{tag}"),
            SOURCES,
        )

    def forget_others(self, keep):
        """Remove images of earlier runs; the base stays."""
        tags = self.run("images", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY, may_fail=True).split()
        for tag in tags:
            if not tag.startswith(f"{REPOSITORY}:{keep}"):
                self.run("rmi", "--force", tag, may_fail=True)
        self.run("image", "prune", "--force", may_fail=True)
