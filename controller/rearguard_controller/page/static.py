"""The page's own style, script and picture: read once, sent with a name that changes with what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

TYPES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_FOLDER = files("rearguard_controller.page") / "static"
CONTENTS = {name: (_FOLDER / name).read_bytes() for name in TYPES}


def address(name: str) -> str:
    """Where browsers find a file; another one for other contents."""
    return f"/static/{name}?{hashlib.sha256(CONTENTS[name]).hexdigest()[:12]}"


def add_files(app: web.Application) -> None:
    """Add a route for each file. They hold nothing secret, so everybody may read them."""
    for name in TYPES:
        app.router.add_get(f"/static/{name}", _sender(name))


def _sender(name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def send(_request: web.Request) -> web.Response:
        return web.Response(
            body=CONTENTS[name],
            headers={
                "Content-Type": f"{TYPES[name]}; charset=utf-8",
                "Cache-Control": "public, max-age=31536000, immutable",
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "default-src 'none'",
            },
        )

    return send
