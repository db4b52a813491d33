"""The behaviours as Django's asynchronous views."""

from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from real.exporter.oracle.apps.failures import HANDLERS as FAILURES
from real.exporter.oracle.apps.failures import cancels
from real.exporter.oracle.apps.parts import (
    FILE,
    LARGE,
    PIECE,
    SHORT,
    begins,
    behaviour_of,
    pieces,
    short_pieces,
    until_left,
)

if not settings.configured:
    settings.configure(
        SECRET_KEY="oracle", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, MIDDLEWARE=[]
    )


async def quick(request):
    return HttpResponse("ok")


async def missing(request):
    return HttpResponse("no", status=404)


async def waits(request):
    await until_left("waits")
    return HttpResponse("late")


async def streams(request):
    return StreamingHttpResponse(pieces("streams"))


async def large(request):
    return HttpResponse(LARGE)


async def upload(request):
    return HttpResponse(str(len(request.body)))


async def ends_short(request):
    return StreamingHttpResponse(short_pieces(), headers={"Content-Length": str(SHORT)})


async def short_at_once(request):
    return HttpResponse(PIECE, headers={"Content-Length": str(SHORT)})


async def preparing(request):
    response = HttpResponse("ok")
    response.headers["x"] = "a"
    response.headers._store["x"] = ("x", None)
    return response


async def raises_streaming(request):
    return StreamingHttpResponse(pieces("raises_streaming", LookupError("oracle")))


async def cancels_streaming(request):
    async def body():
        yield b"x" * 1000
        await cancels()

    return StreamingHttpResponse(body())


async def os_error_streaming(request):
    return StreamingHttpResponse(pieces("os_error_streaming", ConnectionResetError("oracle")))


async def answers_500(request):
    return HttpResponse("no", status=500)


async def range_(request):
    return HttpResponse(FILE.read_bytes()[2:6], status=206)


async def beyond(request):
    return HttpResponse(status=416)


async def unchanged(request):
    return HttpResponse(status=304)


def noting_uploads(app):
    """The application, whose handlers run only once an upload is whole: it has begun when Django is called."""

    async def called(scope, receive, send):
        if behaviour_of(scope).startswith("upload"):
            begins(behaviour_of(scope))
        await app(scope, receive, send)

    return called


HANDLERS = FAILURES | {
    "quick": quick, "done": quick, "head": quick, "missing": missing, "waits": waits, "streams": streams,
    "large": large, "upload": upload, "upload_in_group": upload, "upload_chunked": upload, "ends_short": ends_short,
    "short_at_once": short_at_once,
    "preparing": preparing, "raises_streaming": raises_streaming, "cancels_streaming": cancels_streaming,
    "os_error_streaming": os_error_streaming, "answers_500": answers_500,
    "range": range_, "beyond": beyond, "unchanged": unchanged, "expects": upload,
}  # fmt: skip
urlpatterns = [path(name, handler) for name, handler in HANDLERS.items()]
