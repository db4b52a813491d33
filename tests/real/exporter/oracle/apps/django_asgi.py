"""The behaviours on Django by ASGI."""

from django.core.asgi import get_asgi_application

from real.exporter.oracle.apps.django_handlers import noting_uploads  # with its settings
from real.exporter.oracle.apps.parts import monitor

app = monitor().instrument_asgi(noting_uploads(get_asgi_application()))
