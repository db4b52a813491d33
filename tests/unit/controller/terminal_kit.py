"""A program whose standard error is a terminal.

Here: starting it and reading all that it sends. Never here: what that should be.
"""

import os
import pty
import subprocess


def on_a_terminal(command):
    """What the terminal was sent, what stood on standard output, and the exit code."""
    outer, inner = pty.openpty()
    given = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=inner, env=given)
    os.close(inner)
    sent = b""
    try:
        while piece := os.read(outer, 65536):
            sent += piece
    except OSError:  # the other side has gone
        pass
    os.close(outer)
    answer = child.stdout.read().decode()
    return sent.decode(), answer, child.wait(60)
