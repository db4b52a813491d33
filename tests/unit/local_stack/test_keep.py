"""What `make demo KEEP=1` prints to be pasted."""

import io
import subprocess

from rich.console import Console

from local_stack.demo import command_lines
from local_stack.layout import Layout
from local_stack.screen import Screen


def pasted(layout):
    """What a shell answers to the lines as a narrow terminal shows them."""
    shown = io.StringIO()
    Screen(Console(file=shown, width=40)).as_they_are(command_lines(layout))
    return subprocess.run(["sh"], input=shown.getvalue(), env={}, capture_output=True, text=True, check=False).stderr


def test_the_lines_of_a_kept_demo_work_when_they_are_pasted(tmp_path):
    layout = Layout.make(tmp_path / "a folder")
    assert f"The token file {layout.token_file('operator')} cannot be read" in pasted(layout)
    layout.token_file("operator").write_text("ann:token\n")
    assert f"No controller answers at {layout.controller}." in pasted(layout)
