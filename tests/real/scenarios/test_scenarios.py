"""Whole scenarios on a real Prometheus and a real controller: verdict, reasons and outcome of each (stories.py)."""

import pytest

from real.scenarios import stories

pytestmark = [pytest.mark.soak, pytest.mark.timeout(480)]


def test_an_outage_that_hits_both_versions_is_not_blamed_on_the_release(told):
    told(stories.outage_that_hits_both_versions)


def test_an_outage_of_a_dependency_is_not_blamed_on_the_release(told):
    told(stories.outage_of_a_dependency)


def test_a_fault_that_began_before_the_release_is_not_blamed_on_it(told):
    told(stories.fault_that_began_before_the_release)


def test_a_release_without_any_traffic_is_left_alone(told):
    told(stories.release_without_any_traffic)


def test_a_destination_without_traffic_never_counts_as_recovered(told):
    told(stories.destination_without_traffic)


def test_a_slow_leak_found_ninety_minutes_after_its_release_is_rolled_back(told):
    told(stories.slow_leak_found_after_ninety_minutes)


def test_a_release_that_fails_five_of_a_hundred_is_found_by_rules_and_controller_and_rolled_back(told):
    told(stories.release_that_fails_five_of_a_hundred)


def test_a_release_that_falls_silent_beside_an_older_version_is_rolled_back(told):
    told(stories.release_that_falls_silent)


def test_a_release_whose_process_keeps_starting_anew_is_rolled_back(told):
    told(stories.release_whose_process_keeps_starting_anew)


def test_two_bad_releases_in_a_row_both_go_back_to_the_last_good_one(told):
    told(stories.two_bad_releases_in_a_row)


def test_an_alert_that_flaps_leads_to_one_rollback_and_recovery_does_not_end_the_cooldown(told):
    told(stories.alert_that_flaps)


def test_a_restart_of_prometheus_in_the_middle_of_a_rollback_changes_nothing_about_its_end(told):
    told(stories.prometheus_restarted_in_the_middle)
