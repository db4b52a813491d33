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
            "driving",
            "full_disk",
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
    *(
        f"tests/real/controller/test_drill.py::test_{name}"  # the others need Alertmanager
        for name in (
            "one_drill_of_a_target_goes_on_at_a_time_and_one_whose_process_is_gone_holds_up_no_other",
            "the_first_return_of_a_drills_alert_counts_and_that_of_an_unknown_one_is_nothing",
            "drills_are_kept_as_long_as_everything_else",
        )
    ),
)
LEFT_OUT_TESTS = "not postgres"  # as `pytest -k`

LONGEST_TEST = 60.0  # seconds of a test that takes part
LONGEST_RUN = 150.0  # seconds of tests for one mutant: the quickest ones first
