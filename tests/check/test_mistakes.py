"""The mistakes of the first hour, one row each, and the test that makes it: none can be lost without being seen.

Every test named here runs the product with the mistake in it, and expects its cause and its cure.
"""

import subprocess
import sys

from check.documents import ROOT

HERE = "tests/real/controller/"
FILE = HERE + "test_forty_mistakes.py::test_a_mistake_in_the_file_is_told_with_cause_and_cure[{}]"
LIVE = HERE + "test_forty_mistakes.py::test_what_prometheus_shows_of_a_mistake_is_told_with_cause_and_cure"
CURRENT = HERE + "test_newcomers.py::test_a_current_that_fails_is_told_with_its_cause[{}]"
FIRST = HERE + "test_newcomers.py::{}"
STARTING = HERE + "test_mistakes_of_starting.py::{}"
MISTAKES = {
    "wrong indentation": FILE.format("indentation"),
    "a tab": FILE.format("a tab"),
    "a key misspelt": FILE.format("a key misspelt"),
    "a value misspelt": FILE.format("a value misspelt"),
    "a unit misspelt": FILE.format("a unit"),
    "a duration without a unit": FILE.format("no unit"),
    "a placeholder misspelt": FILE.format("a placeholder misspelt"),
    "a number without quotes": FILE.format("an unquoted number"),
    "a command as text": FILE.format("a command as text"),
    "a key twice": FILE.format("a key twice"),
    "five mistakes at once": HERE + "test_forty_mistakes.py::test_five_mistakes_are_told_at_once",
    "a token file that is not there": FILE.format("a token file that is not there"),
    "a program misspelt, before the start": FILE.format("a program misspelt"),
    "a program misspelt, while it serves": CURRENT.format("not there"),
    "a rollback without a version": FILE.format("a rollback without a version"),
    "no rollback in act": FILE.format("no rollback in act"),
    "Prometheus at a wrong address": FIRST.format("test_prometheus_that_cannot_be_reached_is_told_with_its_cause"),
    "Prometheus asks for a password": STARTING.format(
        "test_a_prometheus_that_needs_more_than_its_address[user and password]"
    ),
    "a password in the address": FILE.format("user and password in the address"),
    "Prometheus has a path prefix": STARTING.format(
        "test_a_prometheus_that_needs_more_than_its_address[a path prefix]"
    ),
    "Alertmanager does not route here": HERE
    + "test_live_routes.py::test_where_no_receiver_is_the_controller_that_is_said",
    "Alertmanager sends name:token": FIRST.format("test_deliveries_with_a_wrong_token_are_told_until_one_is_taken"),
    "current with a banner": CURRENT.format("a banner"),
    "current with two lines": CURRENT.format("two lines"),
    "current that prints nothing": CURRENT.format("nothing"),
    "current that may not be run": CURRENT.format("not executable"),
    "current that names no shell": CURRENT.format("no first line that names a shell"),
    "current that fails": CURRENT.format("an exit code"),
    "current that hangs": FIRST.format("test_while_current_hangs_every_check_that_waits_for_it_says_so"),
    "match misspelt": LIVE,
    "environment misspelt": LIVE,
    "match by job": LIVE,
    "a label too many in match": LIVE,
    "no service_version": LIVE,
    "version unknown": LIVE,
    "metrics of another library, without target_info": LIVE,
    "gunicorn workers on one port": LIVE,
    "scraped every 30 s": LIVE,
    "an alert of one's own without a figure": HERE
    + "test_kinds_of_alerts.py::test_an_alert_without_figure_acts_by_its_own_labels_and_is_recovered_when_it_ends",
    "two targets for one alert, before the start": FILE.format("two targets for one alert"),
    "two targets for one alert, while it serves": FIRST.format(
        "test_two_targets_that_take_the_same_alert_name_each_other"
    ),
    "thresholds.yml is not loaded": HERE
    + "test_forty_mistakes.py::test_rules_that_are_not_loaded_are_told_by_their_file",
    "no tokens": FILE.format("no tokens"),
    "everybody may reach it without a token": STARTING.format("test_no_tokens_and_an_address_that_everybody_reaches"),
    "the port is taken": STARTING.format("test_a_port_that_another_program_uses"),
    "the journal is taken": STARTING.format("test_a_journal_that_another_controller_uses"),
    "the journal's folder is not there": STARTING.format("test_a_journal_in_a_folder_that_is_not_there"),
    "a token of the wrong role": STARTING.format("test_a_token_of_the_wrong_role_and_names_that_there_are_not"),
    "REARGUARD_URL at Prometheus": STARTING.format(
        "test_the_address_of_prometheus_instead_of_the_controllers[words0]"
    ),
    "a broken file at a reload": FIRST.format("test_a_file_that_could_not_be_reloaded_is_told_until_one_could"),
}


def test_every_mistake_has_a_test_that_makes_it():
    files = sorted({each.partition("::")[0] for each in MISTAKES.values()})
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    there = set(done.stdout.splitlines())
    assert {mistake: each for mistake, each in MISTAKES.items() if each not in there} == {}, done.stderr
    assert len(MISTAKES) >= 40
