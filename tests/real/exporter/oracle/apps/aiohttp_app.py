"""The behaviours on aiohttp: served by itself (`python -m`, with `cancelling` as it is or not), or by gunicorn."""

import asyncio
import sys

from aiohttp import web

from real.exporter.oracle.apps.failures import HANDLERS as FAILURES
from real.exporter.oracle.apps.failures import cancels, raises
from real.exporter.oracle.apps.parts import (
    FILE,
    FOLDER,
    LARGE,
    PIECE,
    SHORT,
    begins,
    large_file,
    monitor,
    pieces,
    short_pieces,
    until_left,
)

LARGE_FILE = large_file()


async def quick(_):
    return web.Response(text="ok")


async def missing(_):
    return web.FileResponse(FOLDER / "missing")


async def waits(_):
    await until_left("waits")
    return web.Response(text="late")


async def streams(request):
    return await stream(request, pieces("streams"))


async def stream(request, body, headers=None):
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    async for piece in body:
        await response.write(piece)
    return response


async def large(_):
    return web.Response(body=LARGE)


async def serve_large_file(_):
    return web.FileResponse(LARGE_FILE)


async def upload(request):
    begins("upload")
    return web.Response(text=str(len(await request.read())))


async def upload_in_group(request):
    begins("upload_in_group")
    async with asyncio.TaskGroup() as group:
        group.create_task(request.read())
    return web.Response(text="ok")


async def expects(request):
    return web.Response(text=str(len(await request.read())))


async def ends_short(request):
    return await stream(request, short_pieces(), {"Content-Length": str(SHORT)})


async def short_at_once(_):
    return web.Response(body=PIECE, headers={"Content-Length": str(SHORT)})


async def upload_chunked(request):
    begins("upload_chunked")
    return web.Response(text=str(len(await request.read())))


async def preparing(_):
    return web.Response(text="ok", headers={"X": "a\r\nb"})


async def signal(_):
    return web.Response(text="ok", headers={"X-Signal": "fails"})


async def payload(_):
    return web.Response(body=pieces("payload", LookupError("oracle")))


async def payload_os_error(_):
    return web.Response(body=pieces("payload_os_error", ConnectionResetError("oracle")))


async def payload_cancels(_):
    async def body():
        yield b"x" * 1000
        await cancels()

    return web.Response(body=body())


async def raises_streaming(request):
    return await stream(request, pieces("raises_streaming", LookupError("oracle")))


async def refuses_streaming(request):
    return await stream(request, pieces("refuses_streaming", web.HTTPBadRequest()))


async def cancels_streaming(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"x")
    await cancels()


async def os_error_streaming(request):
    return await stream(request, pieces("os_error_streaming", ConnectionResetError("oracle")))


async def nothing(_):
    return None


async def refuses(_):
    raise web.HTTPConflict


async def answers_500(_):
    return web.Response(status=500)


async def file(_):
    return web.FileResponse(FILE)


@web.middleware
async def outer(request, handler):
    """Outside of the exporter's middleware."""
    match request.path:
        case "/outer_raises":
            raise LookupError("oracle")
        case "/outer_answers":
            return web.Response(status=403)
        case "/outer_refuses":
            await handler(request)
            raise web.HTTPGone
        case "/outer_turns":
            try:
                return await handler(request)
            except LookupError:
                return web.Response(status=404)
        case "/outer_waits":
            return await asyncio.create_task(handler(request))
    return await handler(request)


async def fail_to_prepare(_, response):
    """A signal that the application added after it was instrumented."""
    if "X-Signal" in response.headers:
        raise LookupError("oracle")


def made():
    """The application, with a nested one."""
    app = web.Application(client_max_size=10_000)
    nested = web.Application()
    nested.router.add_get("/nested_file", file)
    for name, failing in FAILURES.items():
        app.router.add_route("*", f"/{name}", failing)
    app.router.add_get("/large_file", serve_large_file)
    for each in (
        quick, missing, waits, streams, large, upload, upload_in_group, upload_chunked, expects, preparing, signal,
        payload, payload_os_error, payload_cancels, ends_short, short_at_once, raises_streaming, refuses_streaming,
        cancels_streaming, os_error_streaming, nothing, refuses, answers_500,
    ):  # fmt: skip
        app.router.add_route("*", f"/{each.__name__}", each)
    for name in ("done", "head", "outer_raises", "outer_answers", "outer_refuses", "outer_waits"):
        app.router.add_route("*", f"/{name}", quick)
    app.router.add_get("/outer_turns", raises)
    for name in ("range", "beyond", "unchanged"):
        app.router.add_get(f"/{name}", file)
    for name in ("expects_oddly", "too_large"):
        app.router.add_post(f"/{name}", expects)
    app.add_subapp("/sub", nested)
    monitor().instrument_aiohttp(app)
    app.middlewares.insert(0, outer)
    app.on_response_prepare.append(fail_to_prepare)
    return app


app = made()

if __name__ == "__main__":
    web.run_app(
        app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, handler_cancellation="cancelling" in sys.argv
    )
