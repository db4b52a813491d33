"""Which rooms are tried, with how many mutants each, and by which tests.

Here: the settings of the campaign. Of a room's mutants those are taken whose names come first: a name is a hash of
the change, so that the choice is spread over the room, the same at each run, and moves only where the code does.
"""

ROOMS = {"execution": 45, "intake": 30, "judgement": 35, "rollback": 30, "journal": 25}

GUARDS = ("never", "without", "always")  # the ways of mutate.py that take away a guard or an early return
PART_OF_GUARDS = 0.7  # of a room's mutants

LEFT_OUT = ("journal/postgres/",)  # would need a server for each mutant; both stores keep the same suite

TESTS = (  # quick ones that need no other program; which of them see a mutant is found out by running them once
    "tests/unit/controller",
    *(
        f"tests/real/controller/test_{name}.py"
        for name in (
            "api_commands",
            "brakes",
            "decision_core",
            "deliveries",
            "drill",
            "driving",
            "guards",
            "heartbeat",
            "journal",
            "journal_sqlite",
            "journal_upkeep",
            "judging",
            "notices",
            "returns",
            "score_kept",
            "taking_in",
            "terms",
        )
    ),
)
LEFT_OUT_TESTS = "not postgres"  # as `pytest -k`

LONGEST_TEST = 60.0  # seconds of a test that takes part
LONGEST_RUN = 150.0  # seconds of tests for one mutant: the quickest ones first
