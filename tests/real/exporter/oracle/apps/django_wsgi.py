"""The behaviours on Django by WSGI."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

from real.exporter.oracle.apps.failures import BLOCKING
from real.exporter.oracle.apps.parts import (
    FILE,
    LARGE,
    PIECE,
    SHORT,
    begins,
    large_file,
    monitor,
    pieces_blocking,
    short_pieces_blocking,
    until_left_blocking,
)

LARGE_FILE = large_file()

settings.configure(
    SECRET_KEY="oracle", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, MIDDLEWARE=[]
)


class Unprepared(HttpResponse):
    """An answer whose head cannot be made."""

    def items(self):
        raise LookupError("oracle")


def waits(_):
    until_left_blocking("waits")
    return HttpResponse("late")


def read(request):
    begins(request.path.strip("/"))
    return HttpResponse(str(len(request.body)))


def read_chunked(request):
    begins("upload_chunked")
    return HttpResponse(str(len(request.environ["wsgi.input"].read())))  # Django itself reads no such body


def upload_fails(request):
    begins("upload_fails")
    if len(request.body) < 100_000:
        raise LookupError("oracle")
    return HttpResponse("ok")


HANDLERS = BLOCKING | {
    "quick": lambda _: HttpResponse("ok"),
    "done": lambda _: HttpResponse("ok"),
    "head": lambda _: HttpResponse("ok"),
    "missing": lambda _: HttpResponse("no", status=404),
    "waits": waits,
    "streams": lambda _: StreamingHttpResponse(pieces_blocking("streams")),
    "large": lambda _: HttpResponse(LARGE),
    "large_stream": lambda _: StreamingHttpResponse(iter([LARGE]), headers={"Content-Length": str(len(LARGE))}),
    "large_file": lambda _: FileResponse(LARGE_FILE.open("rb")),
    "upload": read,
    "upload_chunked": read_chunked,
    "ends_short": lambda _: StreamingHttpResponse(short_pieces_blocking(), headers={"Content-Length": str(SHORT)}),
    "short_at_once": lambda _: HttpResponse(PIECE, headers={"Content-Length": str(SHORT)}),
    "upload_fails": upload_fails,
    "preparing": lambda _: Unprepared("ok"),
    "raises_streaming": lambda _: StreamingHttpResponse(pieces_blocking("raises_streaming", LookupError("oracle"))),
    "os_error_streaming": lambda _: StreamingHttpResponse(
        pieces_blocking("os_error_streaming", ConnectionResetError("x"))
    ),
    "answers_500": lambda _: HttpResponse("no", status=500),
    "range": lambda _: HttpResponse(FILE.read_bytes()[2:6], status=206),
    "beyond": lambda _: HttpResponse(status=416),
    "unchanged": lambda _: HttpResponse(status=304),
    "expects": read,
}
urlpatterns = [path(name, handler) for name, handler in HANDLERS.items()]
app = monitor().instrument_wsgi(get_wsgi_application())
