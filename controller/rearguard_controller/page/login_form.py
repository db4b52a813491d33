"""The form that asks for a token, and where a login leads."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from aiohttp import web

from rearguard_controller.page.rendering import render
from rearguard_controller.page.site import Site

MOST_NEXT = 2000  # characters
_COOKIE = "rearguard-login"  # binds the form to this browser


def ask(
    site: Site, request: web.Request, then: str, kept: Mapping[str, str], *, problem: str = "", status: int = 200
) -> web.Response:
    """The form, with what is to be kept: the reason and the other fields of a form that was sent too late."""
    name = request.cookies.get(_COOKIE) or secrets.token_urlsafe(16)
    form = site.access.form_token(f"login:{name}")
    main = render("login.html", {"then": then, "kept": kept, "problem": problem, "form": form})
    response = site.framed(request, "Log in", main, status=status)
    secure = site.access.is_secure(request)
    response.set_cookie(_COOKIE, name, httponly=True, samesite="Strict", secure=secure)
    return response


def key_of(request: web.Request) -> str:
    """What the form of this browser is bound to."""
    return f"login:{request.cookies.get(_COOKIE, '')}"


def own_path(text: str) -> str:
    """A path of this page; the overview if it could lead elsewhere."""
    plain = text.isprintable() and text.isascii() and "\\" not in text and len(text) <= MOST_NEXT
    return text if plain and text.startswith("/") and not text.startswith("//") else "/"
