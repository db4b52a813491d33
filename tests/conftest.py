"""What all tests share: how hypothesis finds its examples.

It counts examples, not milliseconds, because shared machines stall now and then. Tests of a change see the same
examples at each run, so that what fails is the change. The long campaigns (`-m soak`) look for new ones, and so does
everything with REARGUARD_EXPLORE=1; with REARGUARD_EXPLORE=0, as in CI, the campaigns see the same ones, too.
With REARGUARD_FIRST_FAULT=1 a fault is not made smaller, which may take minutes:
`make mutants` only wants to know that there is one.
"""

import os

from hypothesis import Phase, settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("exploring", deadline=None)
settings.register_profile("hasty", deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))


#: Files of a few tests that take minutes each. Begun last, one worker would finish them while the others wait.
LONGEST = ("test_end_to_end.py",)


def pytest_collection_modifyitems(items):
    """The longest tests come first; all others stay in their order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_configure(config):
    is_campaign = config.getoption("markexpr").startswith("soak")
    if os.environ.get("REARGUARD_FIRST_FAULT"):
        settings.load_profile("hasty")
    else:
        explores = os.environ.get("REARGUARD_EXPLORE", "1" if is_campaign else "0") != "0"
        settings.load_profile("exploring" if explores else "steady")
