"""A plain ASGI application around a handler: its lifespan, which all of them serve alike."""

from real.exporter.oracle.apps.parts import monitor


def served(handle):
    """The measured application that gives everything but its lifespan to `handle`."""

    async def bare(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await handle(scope, receive, send)

    return monitor().instrument_asgi(bare)
