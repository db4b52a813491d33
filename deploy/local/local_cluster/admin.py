"""The test's switches over HTTP, under a path that no real API server has; for the administrator's token only.

| request | does |
| --- | --- |
| `POST /stand-in/faults` with the fields of a `Fault`; `GET`; `DELETE` | switches one on; lists; ends all |
| `POST /stand-in/scripts` `{"image": "shop:v2", "never_ready": true}` | sets how pods of an image behave |
| `POST /stand-in/programs` `{"image": "shop:*", "command": […]}` | makes pods of an image processes |
| `POST /stand-in/digests` `{"image": "shop:v1", "digest": "sha256:…"}` | moves a tag |
| `POST /stand-in/watches` `{"end": true}`, `{"gone": true}`, `{"held": true}` | ends, refuses or silences watches |
| `POST /stand-in/away` `{"seconds": 5}` | closes the API for a time |
| `POST /stand-in/tokens` `{"namespace": …, "name": …}`; `DELETE` `{"token": …}` | gives out a token; takes one back |
| `GET /stand-in/requests` | the requests so far, as an audit log |
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, fields
from http import HTTPStatus
from pathlib import Path
from typing import Any

from local_cluster.access import User, service_account
from local_cluster.api import ApiServer
from local_cluster.errors import ApiError, bad_request, no_such_path
from local_cluster.faults import Fault
from local_cluster.objects import Object
from local_cluster.pod_processes import ProcessRunner, Program
from local_cluster.pod_scripts import Script, Scripts

PREFIX = "/stand-in/"


@dataclass(slots=True)
class Admin:
    """Turns requests into what the objects of the cluster can do."""

    api: ApiServer
    scripts: Scripts
    programs: ProcessRunner
    digests: dict[str, str]
    scripts_changed: Callable[[], None]
    forget_changes: Callable[[], None]
    away: Callable[[float], Awaitable[None]]
    _away: "asyncio.Task[None] | None" = None

    def answer(self, user: User, method: str, path: str, body: Any) -> Object:
        """Do what is asked; raises `ApiError`: 400, 403, 404."""
        if not self.api.access.is_master(user):
            raise ApiError(HTTPStatus.FORBIDDEN, "Forbidden", "the switches are for the administrator's token")
        asked = body if isinstance(body, dict) else {}
        try:
            match method, path.removeprefix(PREFIX):
                case "GET", "requests":
                    return {"requests": [asdict(one) for one in self.api.answered]}
                case "GET", "faults":
                    return {"faults": [asdict(one) for one in self.api.faults.now]}
                case "DELETE", "faults":
                    self.api.faults.clear()
                case "DELETE", "tokens":
                    self.api.tokens.revoke(asked["token"])
                case "POST", "tokens":
                    account = service_account(asked["namespace"], asked["name"])
                    return {"token": self.api.tokens.issue(account)}
                case "POST", what:
                    self._switch(what, asked)
                case _:
                    raise no_such_path()
        except (KeyError, TypeError, ValueError) as error:
            raise bad_request(f"{path}: {type(error).__name__}: {error}") from None
        return {"done": True}

    def _switch(self, what: str, asked: Object) -> None:
        match what:
            case "faults":
                self.api.faults.add(Fault(**{**asked, "methods": tuple(asked.get("methods", ()))}))
            case "scripts":
                known = {one.name for one in fields(Script)}
                self.scripts.set(asked["image"], Script(**{key: one for key, one in asked.items() if key in known}))
                self.scripts_changed()
            case "programs":
                folder = Path(asked["folder"]) if "folder" in asked else None
                program = Program(asked["command"], folder, dict(asked.get("environment") or {}))
                self.programs.set(asked["image"], program)
            case "digests":
                self.digests[asked["image"]] = asked["digest"]
            case "watches":
                self._watches(asked)
            case "away":
                self._away = asyncio.create_task(_call(self.away, float(asked["seconds"])))
            case _:
                raise no_such_path()

    def _watches(self, asked: Object) -> None:
        self.api.watches.held = bool(asked.get("held", self.api.watches.held))
        if asked.get("gone"):
            self.forget_changes()
        elif asked.get("end"):
            self.api.watches.end_all()


async def _call(away: Callable[[float], Awaitable[None]], seconds: float) -> None:
    await asyncio.sleep(0.05)  # the answer to the request goes out first
    await away(seconds)
