"""The behaviours of WebSockets as a consumer of Channels."""

import anyio
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

from real.exporter.oracle.apps import django_handlers  # noqa: F401 - its settings
from real.exporter.oracle.apps.failures import HANDLERS as FAILURES
from real.exporter.oracle.apps.parts import monitor


class Consumer(AsyncWebsocketConsumer):
    """Does what its path says once it is connected, and again whatever comes in."""

    async def connect(self):
        name = self.scope["url_route"]["kwargs"]["name"]
        if name == "refuses":
            await self.close()
            return
        await self.accept()
        await self.send("hello")
        match name:
            case "closes":
                await self.close(1000)
            case "closes_1011":
                await self.close(1011)
            case "only_sends":
                while True:
                    await self.send("x" * 1000)
                    await anyio.sleep(0.01)
            case failing if failing in FAILURES:
                await FAILURES[failing]()


app = monitor().instrument_asgi(
    ProtocolTypeRouter(
        {
            "http": get_asgi_application(),
            "websocket": AllowedHostsOriginValidator(
                URLRouter([path("ws/", URLRouter([path("<str:name>", Consumer.as_asgi())]))])
            ),
        }
    )
)
