"""Renewals on account of an operation that refuses a fresh token too."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.renewals import (
    LEADS,
    LEASE,
    LONG,
    OTHER,
    TOKEN,
    USERS,
    an_error,
    ask,
    lead,
    wait,
)
from thebase_auth._errors import TokenRequestError
from thebase_auth._renewal import KeepRefusal, Renewal
from thebase_auth._token import Token

# Endpoints that refuse a fresh token too


@pytest.fixture
def refused(renewed: Renewal) -> Renewal:
    """At 10 s an endpoint has refused one token, and at 11 s the one that was fetched for it."""
    lead(renewed, "abc", USERS, now=10).land(OTHER)
    assert renewed.refused_again(OTHER, USERS, now=11)
    return renewed


def test_an_endpoint_that_refuses_the_new_token_too_keeps_its_401_for_a_second(
    refused: Renewal,
) -> None:
    assert isinstance(ask(refused, "def", USERS, now=11), KeepRefusal)
    assert isinstance(ask(refused, "def", USERS, now=11.75), KeepRefusal)
    lead(refused, "def", USERS, now=12)


def test_the_pause_begins_with_the_landing_and_anew_when_the_refusal_is_seen(
    renewed: Renewal,
) -> None:
    lead(renewed, "abc", USERS, now=10).land(OTHER, now=15)

    assert isinstance(ask(renewed, "def", USERS, now=15.75), KeepRefusal)
    assert isinstance(ask(renewed, "def", USERS, now=16.5), KeepRefusal)
    lead(renewed, "def", USERS, now=16.75)


def test_a_refusal_long_after_the_landing_is_renewed_at_once(renewed: Renewal) -> None:
    lead(renewed, "abc", USERS, now=10).land(OTHER)

    lead(renewed, "def", USERS, now=11)


def test_each_further_renewal_doubles_the_pause(refused: Renewal) -> None:
    now = 11.0
    for number, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60]):
        current = refused.token
        assert current is not None
        before, now = now + pause - 0.25, now + pause
        assert isinstance(ask(refused, current.access_token, USERS, now=before), KeepRefusal)
        token = Token(f"token-{number}")
        lead(refused, current.access_token, USERS, now=now).land(token)
        refused.refused_again(token, USERS, now=now)


def test_another_endpoint_and_a_first_request_renew_meanwhile(refused: Renewal) -> None:
    flight = lead(refused, "def", LEADS, now=11)
    flight.vanish()
    lead(refused, "def", now=11)


def test_an_endpoint_in_its_pause_takes_what_another_has_fetched(
    refused: Renewal,
) -> None:
    flight = lead(refused, "def", LEADS, now=11)
    assert wait(refused, "def", USERS, now=11) is flight
    newest = flight.land(Token("ghi"))

    assert ask(refused, "def", USERS, now=11) is newest
    assert isinstance(ask(refused, "ghi", USERS, now=11), KeepRefusal)


def test_an_endpoint_in_its_pause_deposes_nobody(refused: Renewal) -> None:
    flight = lead(refused, "def", LEADS, now=11, blocking=True)

    assert isinstance(ask(refused, "def", USERS, now=11, blocking=True), KeepRefusal)
    assert not flight.landed.done()


def test_an_acceptance_ends_the_pause(refused: Renewal) -> None:
    refused.accepted(USERS)

    lead(refused, "def", USERS, now=11).land(Token("ghi"))
    assert isinstance(ask(refused, "ghi", USERS, now=11.75), KeepRefusal)
    lead(refused, "ghi", USERS, now=12.75)


@pytest.mark.parametrize("ending", [TokenRequestError, ConnectionError, GeneratorExit])
def test_a_renewal_that_brings_no_token_begins_no_pause(
    renewed: Renewal, ending: type[BaseException]
) -> None:
    error = an_error() if ending is TokenRequestError else ending()
    with pytest.raises(ending), lead(renewed, "abc", USERS):
        raise error

    assert not renewed.refusals.entries
    lead(renewed, "abc", USERS)


def test_a_first_request_and_a_deposed_leader_begin_no_pause(renewal: Renewal) -> None:
    old = lead(renewal, "abc", USERS)
    lead(renewal, now=LEASE).land(TOKEN)
    old.land(OTHER)

    assert not renewal.refusals.entries


def test_a_refusal_of_an_older_token_tells_nothing(renewed: Renewal) -> None:
    lead(renewed, "abc", USERS, now=10).land(OTHER)

    assert not renewed.refused_again(TOKEN, USERS, now=10.5)
    assert not renewed.refused_again(OTHER, LEADS, now=10.5)
    lead(renewed, "def", USERS, now=11)  # so that it still counts from the asking


def test_a_401_that_cannot_be_replayed_drops_a_token_once_a_pause(
    renewed: Renewal,
) -> None:
    now, current = 0.0, TOKEN
    assert not renewed.drop_refused(current.access_token, USERS, now=now)
    for number, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60]):
        assert renewed.token is None
        current = lead(renewed, now=now).land(Token(f"token-{number}"))
        for step in (0, 0.25, pause - 0.25):
            assert renewed.drop_refused(current.access_token, USERS, now=now + step)
            assert renewed.token is current
            assert not renewed.is_dead(current)
        now += pause
        assert renewed.drop_refused(current.access_token, USERS, now=now)


def test_the_pause_is_one_with_and_without_a_replay(refused: Renewal) -> None:
    assert refused.drop_refused("def", USERS, now=11.75)
    assert refused.token is OTHER

    assert not refused.drop_refused("def", LEADS, now=11.75)
    assert refused.token is None


def test_the_user_is_told_once(renewal: Renewal) -> None:
    count = 100
    about_to_ask = threading.Barrier(count)

    def call() -> bool:
        about_to_ask.wait(LONG)
        return renewal.to_be_told(USERS)

    with ThreadPoolExecutor(count) as pool:
        results = [one.result(LONG) for one in [pool.submit(call) for _ in range(count)]]

    assert sum(results) == 1
