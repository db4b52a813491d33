"""A catalogue: a Django application in one file, with the exporter around it."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from rearguard_exporter import Monitor

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="of-an-example")


def catalogue(_: HttpRequest) -> JsonResponse:
    """What can be bought."""
    return JsonResponse({"books": [1, 2, 3]})


def book(_: HttpRequest, number: int) -> JsonResponse:
    """One book; of number 13 the application knows nothing, and fails."""
    return JsonResponse({"number": number, "title": {1: "Emma", 2: "Persuasion", 3: "Sanditon"}[number]})


urlpatterns = [path("", catalogue), path("books/<int:number>", book)]
monitor = Monitor(service="catalogue", version="3f9c2e1", environment="production")
application = monitor.instrument_wsgi(get_wsgi_application())
