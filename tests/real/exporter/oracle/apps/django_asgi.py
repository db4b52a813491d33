"""The behaviours on Django by ASGI."""

from django.core.asgi import get_asgi_application

from real.exporter.oracle.apps import django_handlers  # noqa: F401 - its settings
from real.exporter.oracle.apps.parts import monitor

app = monitor().instrument_asgi(get_asgi_application())
