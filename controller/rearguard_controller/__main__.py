"""`python -m rearguard_controller`: the same as the command `rearguard`."""

from __future__ import annotations

import sys

from rearguard_controller.cli import main

if __name__ == "__main__":
    sys.exit(main())
