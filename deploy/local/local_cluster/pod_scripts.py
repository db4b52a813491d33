"""How containers behave that are no processes: a script says when they are ready, crash, or cannot be pulled."""

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase

from local_cluster.objects import Object, annotations_of, name_of

SCRIPT_ANNOTATION = "local-cluster/script"  # on the pod template: the fields of a Script as JSON
_PULL_TRY = 0.5  # seconds from the failed pull until the kubelet backs off


@dataclass(frozen=True, slots=True)
class Script:
    """What a container does after its start; times in seconds."""

    ready_after: float = 0.0
    never_ready: bool = False
    unready_after: float | None = None  # ready at first, and from then on no longer
    pull_error: bool = False  # ErrImagePull, then ImagePullBackOff
    crash_every: float | None = None  # runs so long, ends with code 1, waits in CrashLoopBackOff, runs again
    back_off: float | None = None  # how long it waits; None: as long as it ran


@dataclass(frozen=True, slots=True)
class Seen:
    """How a container is now; `changes_in` seconds until it will be different, None when nothing is to come."""

    running: bool
    ready: bool
    restarts: int = 0
    waiting: str = ""  # the reason, such as CrashLoopBackOff
    message: str = ""
    exit_code: int = 1  # of the last end, when there were restarts
    changes_in: float | None = None


class Scripts:
    """The scripts by image; the longest pattern that fits counts, and an annotation on the pod before all."""

    def __init__(self) -> None:
        self._by_image: dict[str, Script] = {}

    def set(self, image: str, script: Script) -> None:
        """Have containers of this image, or pattern such as `*/shop:v2`, follow the script from now on."""
        self._by_image[image] = script

    def of(self, pod: Object, image: str) -> Script:
        """Return the script for a container of this pod."""
        if text := annotations_of(pod).get(SCRIPT_ANNOTATION):
            return Script(**json.loads(text))
        fitting = [pattern for pattern in self._by_image if fnmatchcase(image, pattern)]
        return self._by_image[max(fitting, key=len)] if fitting else Script()


def see_script(script: Script, pod: Object, container: Object, age: float) -> Seen:
    """Return how a container with this script looks `age` seconds after its pod began."""
    image = container["image"]
    if script.pull_error:
        if age < _PULL_TRY:
            message = f'failed to pull and unpack image "{image}": not found'
            return Seen(
                running=False, ready=False, waiting="ErrImagePull", message=message, changes_in=_PULL_TRY - age
            )
        message = f'Back-off pulling image "{image}"'
        return Seen(running=False, ready=False, waiting="ImagePullBackOff", message=message)
    if script.crash_every is not None:
        back_off = script.crash_every if script.back_off is None else script.back_off
        return _crashing(script.crash_every, back_off, pod, container, age)
    if script.never_ready:
        return Seen(running=True, ready=False)
    if age < script.ready_after:
        return Seen(running=True, ready=False, changes_in=script.ready_after - age)
    if script.unready_after is None:
        return Seen(running=True, ready=True)
    left = script.unready_after - age
    return Seen(running=True, ready=left > 0, changes_in=left if left > 0 else None)


def _crashing(runs: float, waits: float, pod: Object, container: Object, age: float) -> Seen:
    restarts, since = divmod(age, runs + waits)
    if since < runs:
        return Seen(running=True, ready=False, restarts=int(restarts), changes_in=runs - since)
    message = f"back-off 10s restarting failed container={container['name']} pod={name_of(pod)}"
    return Seen(
        running=False,
        ready=False,
        restarts=int(restarts),
        waiting="CrashLoopBackOff",
        message=message,
        changes_in=runs + waits - since,
    )
