"""Write the dashboards that are built by code: `python grafana/tools/boards`; `rearguard-service` is kept by hand."""

import json
import sys
from pathlib import Path

import controller
import exporter_cost
import fleet

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"
BOARDS = (controller, exporter_cost, fleet)


def main(folder):
    """Write each dashboard into the folder, by its uid."""
    for module in BOARDS:
        board = module.board()
        (folder / f"{board['uid']}.json").write_text(json.dumps(board, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
