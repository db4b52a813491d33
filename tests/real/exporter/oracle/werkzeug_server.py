"""Runs a WSGI application on Werkzeug's own server: `werkzeug_server port module:app`."""

import sys
from importlib import import_module

from werkzeug.serving import run_simple

port, target = sys.argv[1:]
module, _, name = target.partition(":")
run_simple("127.0.0.1", int(port), getattr(import_module(module), name), threaded=True)
