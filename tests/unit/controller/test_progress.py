"""What is drawn on a terminal while a command waits: it moves, it is inert, and it goes away."""

import re
import sys

from unit.controller.terminal_kit import on_a_terminal

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


def test_what_is_drawn_is_inert_shows_how_much_is_done_and_goes_away_at_the_end():
    sent, answer, code = on_a_terminal([sys.executable, "-c", CODE])
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent)
    assert "0:05 [bold]v2[/bold] serves\\x1b[2J" in plain
    assert "reading alerts[red]\\x07" in plain
    assert "9/9" in plain
    assert "\x1b[2J" not in sent
    assert "\x07" not in sent
    assert sent.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))  # the line is cleared, and the cursor shown again
    assert answer == "the answer\n"
