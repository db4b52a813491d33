"""Start the shop: `python -m local_stack.shop --release FOLDER --port N --database URL --record FILE`.

Here: command line, instrumentation, and the record of the process that really serves, written after it is bound.
Never here: routes; stopping other processes.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from pathlib import Path

import psutil
from aiohttp import web

from local_stack.shop.app import build
from local_stack.shop.release import load
from local_stack.shop.store import Store
from rearguard_exporter import Monitor

_GRACE_SECONDS = 2.0  # for requests under way when the process is asked to end


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="shop", description="The demo's shop.")
    parser.add_argument("--release", type=Path, required=True, help="folder of the release to serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True, help="SQLAlchemy URL with an async driver")
    parser.add_argument("--record", type=Path, required=True, help="file that says which process serves")
    parser.add_argument("--environment", default="production")
    return parser.parse_args()


def _write_record(file: Path, version: str) -> None:
    record = {
        "pid": os.getpid(),
        "created": psutil.Process().create_time(),
        "version": version,
        "since": time.time(),
    }
    aside = file.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps(record), encoding="utf-8")
    aside.replace(file)


async def _serve(options: argparse.Namespace) -> None:
    release = load(options.release)
    store = Store(options.database)
    await store.prepare()
    monitor = Monitor(service="shop", version=release.version, environment=options.environment)
    app = build(store, release, options.record.parent / "snapshots")
    monitor.instrument_aiohttp(app)
    monitor.instrument_sqlalchemy(store.engine)
    monitor.watch_database("shop", store.answers)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await web.TCPSite(runner, options.host, options.port).start()
        _write_record(options.record, release.version)
        logging.getLogger("shop").info("serving %s on port %s", release.version, options.port)
        await stop.wait()
    finally:
        await runner.cleanup()
        await store.close()


def main() -> None:
    """Serve until asked to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_arguments()))


if __name__ == "__main__":
    main()
