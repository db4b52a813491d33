"""The keys of a policy: when a target may be rolled back.

Here: their types, defaults and meanings.
"""

from __future__ import annotations

from rearguard_controller.config.keys.section import Key, Section

POLICY = Section(
    "policies.NAME",
    (
        Key(
            "mode",
            "`observe`, `ask` or `act`",
            "`observe`",
            "`observe` records what it would do, and `rearguard status` scores it against what people do by hand;"
            " `ask` does it when a person approves; `act` does it.",
        ),
        Key("approval", "mapping", "within `30m`", "How long a rollback waits for a person's approval."),
        Key(
            "act_outside_production",
            "true or false",
            "the top level's",
            "Without it, development and staging observe, whatever the mode.",
        ),
        Key("alerts", "mapping of labels", "`{action: rollback}`", "Labels that make an alert a trigger."),
        Key("watch_window", "duration", "`2h`", "How long after a release an alert may be blamed on it."),
        Key(
            "known_good_after",
            "duration",
            "`15m`",
            "How long a version must serve, scraped without a break, with healthy trigger rules and no trigger alert,"
            " to be known good; on day one Prometheus' history counts.",
        ),
        Key(
            "trust",
            "`figures` or `by_up`",
            "`figures`",
            "What a version needs beside that: `figures` a value of at least one trigger rule's figure while it"
            " served; `by_up` nothing, so that a version of which nothing was ever measured may be gone back to."
            " Every decision says so.",
        ),
        Key(
            "caution",
            "`swift`, `standard` or `careful`",
            "`standard`",
            "How sure it must be that a release fails more than the version before, and not for a moment: `swift` is"
            " wrong about 1 good release in 1,000, and 10 s of a fault are enough; `standard` 1 in 10,000 and 15 s;"
            " `careful` 1 in 100,000 and 30 s. Beside an older version that serves, 5 s are enough, or 15 s.",
        ),
        Key(
            "veto",
            "duration",
            "`0s`",
            "Mode `act` only: how long a person can stop a rollback before it is begun.",
        ),
        Key(
            "together",
            "list of targets' names",
            "none",
            "Targets of this policy that are released together. When one goes back, so do the others that have a"
            " recent release, or none does. [behaviour.md](behaviour.md#several-targets-together) says how.",
        ),
        Key(
            "together_order",
            "`as_one` or `stated`",
            "`as_one`",
            "`as_one`: all are prepared, then all are changed. `stated`: each begins when the one before it in the"
            " list is changed and healthy. Either way all are taken back when one fails.",
        ),
        Key("cooldown", "duration", "`5m`", "Least time between two automatic rollbacks of a target."),
        Key("budget", "mapping", "3 in `24h`", "Most automatic rollbacks of a target in a time."),
    ),
)
APPROVAL = Section(
    "policies.NAME.approval",
    (Key("within", "duration", "`30m`", "After that it is not begun any more, and closes as `expired`."),),
)
BUDGET = Section(
    "policies.NAME.budget",
    (
        Key("rollbacks", "whole number from 1", "`3`", "How many."),
        Key("per", "duration", "`24h`", "In how long."),
    ),
)
