"""A small site whose pages measure themselves twice: by `vitals.js`, and by the `web-vitals` package beside it.

Here: pages, their server, what web-vitals reported. Never here: the browser (chromium), expectations.
"""

import asyncio
import json
import re
import struct
import zlib
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from aiohttp import ClientSession
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from local_stack import npm_packages
from real.exporter.conftest import Site
from rearguard_exporter import Monitor

GUIDE = Path(__file__).parents[3] / "docs" / "browser.md"
CSP = "default-src 'none'; script-src 'nonce-fresh'; connect-src 'self'; img-src 'self'; style-src 'unsafe-inline'"
"""As strict as a page can be that has images and styles of its own. It forbids prerendering, and other origins."""

PAGE = """<!doctype html><html><head>%(head)s
<script nonce="fresh" src="%(origin)s/api/monitoring/vitals.js"></script>
<script nonce="fresh" src="/web-vitals.js"></script>
<script nonce="fresh">
window.reported = {};
for (const on of ["onLCP", "onINP", "onCLS", "onFCP", "onTTFB"]) {
  const tell = ({ name, value, navigationType }) => {
    (reported[navigationType] ??= {})[name.toLowerCase()] = value;
    navigator.sendBeacon("/reported", JSON.stringify([location.pathname, navigationType, name.toLowerCase(), value]));
  };
  webVitals[on](tell, { reportAllChanges: true });
}
</script></head>
<body style="margin: 0">
<img src="/small.png" width="60" height="40"><div id="banner"></div>
<img id="large" src="/large.png" width="600" height="400" style="display: block">
<button id="slow" style="position: fixed; top: 450px; left: 0; width: 100px; height: 50px"></button>
<script nonce="fresh">
const busy = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };
slow.addEventListener("click", () => busy(180));
large.addEventListener("load", () => setTimeout(() => { banner.style.height = "120px"; }, 300));
const leave = () => setTimeout(() => { location.href = "%(then)s"; }, 1200);
if ("%(then)s") document.prerendering ? document.addEventListener("prerenderingchange", leave) : leave();
</script></body></html>"""
BUTTON = (50, 470)

RULES = (
    '<script type="speculationrules">{"prerender": [{"source": "list", "urls": ["%s"], "eagerness": "immediate"}]}'
    "</script>"
)


def _image():
    pixels = b"".join(b"\0" + bytes((x * 7 + y * 3) % 256 for x in range(300) for _ in range(3)) for y in range(200))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 300, 200, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def documented_policy():
    """The Content-Security-Policy and the element of the script that the guide shows, with the nonce `R4nd0m`."""
    text = GUIDE.read_text(encoding="utf-8")
    return (
        re.search(r"^Content-Security-Policy: (.*)$", text, re.MULTILINE)[1],
        re.search(r"^<script nonce=.*</script>$", text, re.MULTILINE)[0],
    )


class VitalsSite(Site):
    """The site, served, and what web-vitals reported: `reported[path][navigation type][vital]` is its last value."""

    def __init__(self, client):
        super().__init__("", client)
        self.reported = {}
        image, script = _image(), npm_packages.find().read_text()

        async def page(request):
            await asyncio.sleep(0.15)  # so that the first byte takes a while
            ask = request.query_params
            shown = {
                "head": RULES % ask["prerender"] if "prerender" in ask else "",
                "then": ask.get("then", ""),
                "origin": ask.get("origin", ""),
            }
            headers = {} if {"origin", "prerender"} & ask.keys() else {"Content-Security-Policy": CSP}
            return HTMLResponse(PAGE % shown, headers=headers)

        async def picture(request):
            await asyncio.sleep(0.3 if "large" in request.url.path else 0)
            return Response(image, media_type="image/png")

        async def report(request):
            path, navigation, name, value = json.loads(await request.body())
            self.reported.setdefault(path, {}).setdefault(navigation, {})[name] = value
            return Response(status_code=204)

        async def web_vitals(_):
            return Response(script, media_type="text/javascript")

        async def blank(_):
            return HTMLResponse("<!doctype html>")

        async def documented(request):
            policy, tag = documented_policy()
            shown = tag.replace("R4nd0m", request.query_params["nonce"])
            return HTMLResponse(
                f"<!doctype html><html><head>{shown}</head><body>Words.</body></html>",
                headers={"Content-Security-Policy": policy},
            )

        self.app = Starlette(
            routes=[
                Route("/items/{item}", page),
                Route("/large.png", picture),
                Route("/small.png", picture),
                Route("/web-vitals.js", web_vitals),
                Route("/reported", report, methods=["POST"]),
                Route("/blank", blank),
                Route("/documented", documented),
            ]
        )

    async def vital(self, name, page="/items/{id}", navigation="navigate", unit="_seconds"):
        """Count and sum of a Web Vital in the exposition; None if it was not counted."""
        scrape = await self.scrape()
        labels = {"page": page, "browser_web_vital_navigation_type": navigation}
        return tuple(scrape.value(f"browser_web_vital_{name}{unit}_{part}", **labels) for part in ("count", "sum"))

    async def beacons(self, result="taken"):
        """How many beacons came to this."""
        return (await self.scrape()).value("rearguard_exporter_beacons_total", result=result)


@asynccontextmanager
async def serve_vitals(vitals):
    """Serves the site on a free port by a real uvicorn, with these vitals."""
    async with ClientSession() as client:
        site = VitalsSite(client)
        monitor = Monitor("shop", "1.0", "test", vitals=vitals)
        config = uvicorn.Config(
            monitor.instrument_asgi(site.app), port=0, log_level="critical", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.01)
        site.port = server.servers[0].sockets[0].getsockname()[1]
        site.url = f"http://127.0.0.1:{site.port}"
        try:
            yield site
        finally:
            server.should_exit = True
            await task
            monitor.close()
