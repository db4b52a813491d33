"""Mail and whatever else Apprise knows: one address, one message in plain text, for which Apprise finds the form.

Apprise waits for what it does, so that each delivery has a thread of its own, which nobody waits for at the end. Its
log and that of its libraries is off: it would tell parts of addresses.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from types import ModuleType

from rearguard_controller.adapters.notices.message import Message, Severity
from rearguard_controller.adapters.notices.post import Result, To, cut
from rearguard_controller.errors import ConfigError

MOST_TITLE, MOST_TEXT = 250, 10_000
_WORDS = {Severity.GOOD: "success", Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}
_MISSING = "the library Apprise is not installed"
_TALKERS = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")  # their log tells paths, which are secret
_hanging: dict[str, threading.Thread] = {}  # the last delivery to an address, if it did not end in time


def require(to: To) -> None:
    """See that Apprise is there and knows the address.

    Raises:
        ConfigError: it is not, or does not; nothing of the address is told.
    """
    apprise = _library()
    if apprise is None:
        raise ConfigError(_MISSING, hint="Install it: pip install 'rearguard[notices]'.")
    if not apprise.Apprise().add(to.url):
        raise ConfigError("an address is none that Apprise knows", hint="Its form is in Apprise's documentation.")


async def send(message: Message, to: To, timeout: float) -> Result:  # noqa: ASYNC109  # of a thread, not of this task
    """Deliver a message; what went wrong is only known to Apprise."""
    before = _hanging.get(to.url)
    if before is not None and before.is_alive():
        return Result("an earlier delivery still hangs", again=True)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        taken = _deliver(message, to)
        with suppress(RuntimeError):  # the event loop has ended meanwhile
            loop.call_soon_threadsafe(lambda: None if done.done() else done.set_result(taken))

    thread = threading.Thread(target=run, daemon=True, name="notice by Apprise")
    thread.start()
    ended, _ = await asyncio.wait([done], timeout=timeout)
    if not ended:
        _hanging[to.url] = thread
        return Result(f"no answer within {timeout:g} s", again=True)
    _hanging.pop(to.url, None)
    return done.result()


def _deliver(message: Message, to: To) -> Result:
    """What became of it. Also the library is loaded here, beside the event loop: that takes a second or two."""
    failed = Result("Apprise could not deliver it", again=True)
    try:
        apprise = _library()
        if apprise is None:
            return Result(f"{_MISSING}: pip install 'rearguard[notices]'")
        sender = apprise.Apprise()
        if not sender.add(to.url):
            return Result("its address is none that Apprise knows")
        title, text = cut(message.title, MOST_TITLE), cut(message.plain or message.title, MOST_TEXT)
        kind, form = apprise.NotifyType(_WORDS[message.severity]), apprise.NotifyFormat.TEXT
        taken = sender.notify(body=text, title=title, notify_type=kind, body_format=form, interpret_escapes=False)
    except Exception:  # noqa: BLE001  # a hundred services' code; its words may repeat the address
        return failed
    return Result() if taken else failed


def _library() -> ModuleType | None:
    try:
        import apprise  # noqa: PLC0415  # an extra, and slow to load
    except ImportError:
        return None
    for name in _TALKERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    library: ModuleType = apprise
    return library
