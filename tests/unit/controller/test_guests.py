"""Which connection makes room for a new one."""

import socket

import pytest

from rearguard_controller.api.guests import Guest, Party, State

ORDER = (State.SILENT, State.STRANGE, State.KNOWN, State.BUSY)


@pytest.fixture
def party():
    made = Party("192.0.2.1")
    yield made
    for state in ORDER:
        for guest in list(made.of(state)):
            guest.close()


def enters(party, state=State.SILENT, at=100.0):
    guest = Guest(socket.socket().detach(), party, lambda gone: gone.party.forget(gone))
    party.enter(guest, at)
    if state is not State.SILENT:
        party.move(guest, state, at)
    return guest


def idlest(party, newcomer, now):
    return party.idlest(newcomer, now - 1.0)


def test_what_has_been_silent_for_a_second_goes_first_and_of_those_the_oldest(party):
    for state in (State.STRANGE, State.KNOWN, State.BUSY):
        enters(party, state, at=1.0)
    first = enters(party, at=50.0)
    enters(party, at=51.0)
    assert idlest(party, enters(party, at=52.0), 52.0) is first


def test_new_connections_cannot_push_out_more_than_half_of_the_others(party):
    known = [enters(party, State.KNOWN) for _ in range(4)]
    new = [enters(party, at=100.0) for _ in range(4)]
    assert idlest(party, new[-1], 100.1) is known[0]  # four of eight are new
    new.append(enters(party, at=100.0))
    assert idlest(party, new[-1], 100.1) is new[0]


def test_those_without_a_token_go_before_those_with_one_and_both_before_a_request_under_way(party):
    busy = enters(party, State.BUSY, at=1.0)
    known = enters(party, State.KNOWN, at=2.0)
    strange = [enters(party, State.STRANGE, at=3.0 + n) for n in range(2)]
    newcomer = enters(party)
    assert idlest(party, newcomer, 100.0) is strange[0]
    for each in strange:
        each.close()
    assert idlest(party, newcomer, 100.0) is known
    known.close()
    assert idlest(party, newcomer, 100.0) is busy


def test_who_asks_again_and_again_is_not_the_idlest(party):
    one, two = enters(party, State.KNOWN, at=1.0), enters(party, State.KNOWN, at=2.0)
    party.move(one, State.BUSY, 3.0)
    party.move(one, State.KNOWN, 4.0)
    assert idlest(party, enters(party), 100.0) is two


def test_the_newcomer_goes_only_where_it_is_alone(party):
    newcomer = enters(party, at=1.0)
    other = enters(party, State.BUSY, at=2.0)
    assert idlest(party, newcomer, 100.0) is other
    other.close()
    assert idlest(party, newcomer, 100.0) is newcomer


def test_a_connection_that_is_closed_is_counted_no_more(party):
    guest = enters(party)
    guest.close()
    guest.close()
    assert (party.size, list(party.of(State.SILENT))) == (0, [])
