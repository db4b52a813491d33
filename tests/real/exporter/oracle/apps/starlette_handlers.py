"""The behaviours as functions of Starlette's request, for Starlette and for FastAPI."""

import anyio
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

from real.exporter.oracle.apps import failures
from real.exporter.oracle.apps.parts import FILE, LARGE, PIECE, SHORT, begins, pieces, short_pieces, until_left


async def quick(request: Request):
    return PlainTextResponse("ok")


async def done(request: Request):
    return PlainTextResponse("ok")


async def head(request: Request):
    return PlainTextResponse("ok")


async def missing(request: Request):
    return PlainTextResponse("no", 404)


async def waits(request: Request):
    await until_left("waits")
    return PlainTextResponse("late")


async def streams(request: Request):
    return StreamingResponse(pieces("streams"))


async def large(request: Request):
    return Response(LARGE)


async def upload(request: Request):
    begins("upload")
    return PlainTextResponse(str(len(await request.body())))


async def upload_in_group(request: Request):
    begins("upload_in_group")
    async with anyio.create_task_group() as group:
        group.start_soon(request.body)
    return PlainTextResponse("ok")


async def raises(request: Request):
    await failures.raises()


async def cancels(request: Request):
    await failures.cancels()


async def cancels_itself(request: Request):
    await failures.cancels_itself()


async def ends_short(request: Request):
    return StreamingResponse(short_pieces(), headers={"content-length": str(SHORT)})


async def short_at_once(request: Request):
    return Response(PIECE, headers={"content-length": str(SHORT)})


async def upload_chunked(request: Request):
    begins("upload_chunked")
    return PlainTextResponse(str(len(await request.body())))


async def group(request: Request):
    await failures.group()


async def times_out(request: Request):
    await failures.times_out()


async def after_answer(request: Request):
    return PlainTextResponse("ok", background=BackgroundTask(failures.raises))


async def os_error(request: Request):
    await failures.os_error()


async def preparing(request: Request):
    response = PlainTextResponse("ok")
    response.raw_headers.append((b"x", None))
    return response


async def raises_streaming(request: Request):
    return StreamingResponse(pieces("raises_streaming", LookupError("oracle")))


async def cancels_streaming(request: Request):
    async def body():
        yield b"x" * 1000
        await failures.cancels()

    return StreamingResponse(body())


async def os_error_streaming(request: Request):
    return StreamingResponse(pieces("os_error_streaming", ConnectionResetError("oracle")))


async def answers_500(request: Request):
    return PlainTextResponse("no", 500)


async def range_(request: Request):
    return FileResponse(FILE)


async def beyond(request: Request):
    return FileResponse(FILE)


async def unchanged(request: Request):
    return Response(status_code=304)


async def expects(request: Request):
    return PlainTextResponse(str(len(await request.body())))


HANDLERS = (
    quick, done, head, missing, waits, streams, large, upload, upload_in_group, raises, cancels,
    cancels_itself, ends_short, short_at_once, upload_chunked, group, os_error,
    preparing, raises_streaming, cancels_streaming, os_error_streaming, answers_500,
    range_, beyond, unchanged, expects, times_out, after_answer,
)  # fmt: skip
