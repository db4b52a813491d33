"""The back-test: what would have been rolled back in the past, by Prometheus' history and the same `decide`.

Here: from history to data (`archive`, `load`, `evaluation`), from data to judgements (`serving`, `curves`,
`facts_then`, `replay`), from judgements to a comparison with what people did (`outcome`, `report`, `drawing`).
Never here: the journal, or any command of a target. A back-test reads Prometheus and nothing else.
"""

from rearguard_controller.backtest.drawing import drawn
from rearguard_controller.backtest.load import History
from rearguard_controller.backtest.replay import replay
from rearguard_controller.backtest.report import REMINDER, compare

__all__ = ["REMINDER", "History", "compare", "drawn", "replay"]
