"""What importing the exporter brings into somebody else's process."""

import json
import subprocess
import sys

SHOW = """
import json, sys, threading
from rearguard_exporter import Monitor
Monitor("shop", "1.0", "test")
names = {name.partition(".")[0] for name in sys.modules}
print(json.dumps({"modules": sorted(names), "threads": threading.active_count()}))
"""


def test_no_framework_and_no_thread_comes_with_a_monitor_alone():
    made = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True, timeout=60)
    shown = json.loads(made.stdout)
    unwanted = {
        "aiohttp",
        "sqlalchemy",
        "asyncpg",
        "psycopg",
        "psycopg_pool",
        "yaml",
        "requests",
        "rearguard_controller",
        "structlog",
        "orjson",
        "multiprocessing",
    }
    assert unwanted.isdisjoint(shown["modules"])
    assert shown["threads"] == 1
