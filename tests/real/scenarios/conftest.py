"""All stories on one stage, side by side; a test asks for the end of its own."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from real.scenarios import stories
from real.scenarios.stage import Stage

SIDE_BY_SIDE = (
    stories.outage_that_hits_both_versions,
    stories.outage_of_a_dependency,
    stories.fault_that_began_before_the_release,
    stories.release_without_any_traffic,
    stories.destination_without_traffic,
    stories.slow_leak_found_after_ninety_minutes,
    stories.release_that_fails_five_of_a_hundred,
)
LONG = (
    stories.two_bad_releases_in_a_row,
    stories.alert_that_flaps,
    stories.release_that_falls_silent,
    stories.release_whose_process_keeps_starting_anew,
)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Answers when a story has ended as it should; raises what it raised."""
    stage = Stage(tmp_path_factory.mktemp("stage"))
    stories.add_services(stage)
    try:
        stage.start()
        with ThreadPoolExecutor(len(SIDE_BY_SIDE) + len(LONG) + 1) as pool:
            short = {story: pool.submit(story, stage) for story in SIDE_BY_SIDE}
            long = {story: pool.submit(story, stage) for story in LONG}

            def after_the_short_ones():
                wait(short.values())
                stories.prometheus_restarted_in_the_middle(stage)

            last = {stories.prometheus_restarted_in_the_middle: pool.submit(after_the_short_ones)}
            ends = short | long | last
            yield lambda story: ends[story].result()
    finally:
        stage.stop()
