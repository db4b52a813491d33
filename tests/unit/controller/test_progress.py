"""What is drawn on a terminal while a command waits: it moves, it is inert, and it goes away."""

import os
import pty
import re
import subprocess
import sys

CODE = """
from rearguard_controller.cli.progress import Bars, LiveLine

line = LiveLine()
line.show("0:05 [bold]v2[/bold] serves\\x1b[2J")
line.end()
bars = Bars()
for done in range(10):
    bars.say("alerts[red]\\x07", done, 9)
bars.end()
print("the answer")
"""


def drawn():
    """Everything that a terminal is sent on standard error, and what came on standard output."""
    outer, inner = pty.openpty()
    given = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    child = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=inner, env=given)
    os.close(inner)
    sent = b""
    while True:
        try:
            piece = os.read(outer, 65536)
        except OSError:  # the other side has gone
            break
        if not piece:
            break
        sent += piece
    os.close(outer)
    answer = child.stdout.read().decode()
    assert child.wait(60) == 0
    return sent.decode(), answer


def test_what_is_drawn_is_inert_shows_how_much_is_done_and_goes_away_at_the_end():
    sent, answer = drawn()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent)
    assert "0:05 [bold]v2[/bold] serves\\x1b[2J" in plain
    assert "reading alerts[red]\\x07" in plain
    assert "9/9" in plain
    assert "\x1b[2J" not in sent
    assert "\x07" not in sent
    assert sent.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))  # the line is cleared, and the cursor shown again
    assert answer == "the answer\n"
