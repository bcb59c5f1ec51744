"""When no token is fetched: an operation has refused two fetched for it, or the token endpoint refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.forbidding import PAUSES
from tests.support.shared_tokens import (
    LEADS,
    OTHER,
    TOKEN,
    USERS,
    a_task,
    an_error,
    ask,
    in_another_thread,
    lead,
    renew,
    wait,
)
from tests.support.world import DOMAIN
from thebase_auth import TokenRequestError
from thebase_auth._core.shared_token import Keep401, SharedToken
from thebase_auth._core.token import CachedToken, Token

# Operations that refuse


def strike(shared: SharedToken, number: int, *, now: float = 0) -> tuple[Token, bool]:
    """USERS refuses the token in use, and the one that is fetched on its account; is that to be told?"""
    token = renew(shared, Token(f"token-{number}"), shared.token, USERS, now=now)
    return token, shared.note_refusal(token, USERS, now=now)


@pytest.fixture
def refusing(renewed: SharedToken) -> SharedToken:
    """At 10 s USERS has refused the second token that was fetched on its account."""
    assert strike(renewed, 1, now=9)[1] is False
    assert strike(renewed, 2, now=10)[1] is True
    return renewed


def test_a_first_strike_changes_nothing(renewed: SharedToken) -> None:
    token, told = strike(renewed, 1)

    assert not told
    assert renewed.token is token
    assert not renewed.must_keep_401(token, USERS, now=0)
    lead(renewed, token, USERS)


def test_from_the_second_strike_on_an_operation_keeps_its_401_for_a_second(refusing: SharedToken) -> None:
    token = refusing.token
    for now in (10, 10.75):
        assert isinstance(ask(refusing, token, USERS, now=now), Keep401)
    lead(refusing, token, USERS, now=11)


def test_each_further_strike_doubles_the_pause_and_is_not_warned_of_again(renewed: SharedToken) -> None:
    strike(renewed, 0)
    now = 0.0
    for number, pause in enumerate(PAUSES, 1):
        token, told = strike(renewed, number, now=now)
        assert told == (number == 1)
        assert isinstance(ask(renewed, token, USERS, now=now + pause - 0.25), Keep401)
        now += pause


def test_a_token_counts_one_strike_however_many_callers_it_fails(renewed: SharedToken) -> None:
    token, _ = strike(renewed, 1)
    for _ in range(100):
        assert not renewed.note_refusal(token, USERS, now=0)

    assert renewed.backoff.strikes[USERS].count == 1


def test_nothing_but_a_token_fetched_on_its_account_counts(renewed: SharedToken) -> None:
    def nothing_counts(token: Token) -> bool:
        return not renewed.note_refusal(token, USERS, now=0) and not renewed.backoff.strikes

    assert nothing_counts(TOKEN)  # fetched for a first request
    renew(renewed, OTHER, TOKEN, LEADS)
    assert nothing_counts(OTHER)  # for another operation
    renewed.finish(lead(renewed, OTHER, USERS), CachedToken("cached"), now=0)
    assert nothing_counts(Token("cached"))
    renew(renewed, Token("mine"), Token("cached"), USERS)
    assert nothing_counts(Token("older"))
    renewed.drop(Token("mine"))
    assert nothing_counts(Token("mine"))
    old = lead(renewed, None, USERS)
    renew(renewed, Token("newer"), now=1000)
    renewed.finish(old, Token("superseded"), now=0)
    assert nothing_counts(Token("superseded"))


def test_answers_to_a_token_that_was_not_fetched_here_count_for_nothing(shared: SharedToken) -> None:
    shared.accepted(USERS)

    assert not shared.note_refusal(TOKEN, USERS, now=0)
    assert not shared.must_keep_401(TOKEN, USERS, now=0)
    assert not shared.backoff.strikes


def test_a_token_that_its_operation_has_accepted_counts_no_strike_later(renewed: SharedToken) -> None:
    renew(renewed, OTHER, TOKEN, USERS)
    renewed.accepted(LEADS)
    renewed.accepted(USERS)

    assert not renewed.note_refusal(OTHER, USERS, now=0)
    assert not renewed.backoff.strikes


def test_an_acceptance_forgets_the_strikes(refusing: SharedToken) -> None:
    refusing.accepted(USERS)
    assert not refusing.backoff.strikes

    assert not strike(refusing, 3, now=10)[1]
    assert not strike(refusing, 4, now=10)[1]  # it was told before
    assert isinstance(ask(refusing, refusing.token, USERS, now=10.75), Keep401)
    lead(refusing, refusing.token, USERS, now=11)


def test_an_acceptance_of_which_nothing_is_to_be_noted_takes_no_lock(renewed: SharedToken) -> None:
    with renewed._lock:
        in_another_thread(lambda: renewed.accepted(USERS))


def test_in_the_pause_of_one_operation_others_and_first_requests_renew(refusing: SharedToken) -> None:
    token = refusing.token
    refusing.abandon(lead(refusing, token, LEADS, now=10))
    lead(refusing, token, now=10)


def test_in_its_pause_an_operation_takes_what_another_has_fetched(refusing: SharedToken) -> None:
    refused = refusing.token
    assert refused is not None
    flight = lead(refusing, refused, LEADS, now=10)
    assert not refusing.must_keep_401(refused, USERS, now=10)
    assert wait(refusing, refused, USERS, now=10) is flight
    refusing.finish(flight, OTHER, now=0)

    assert not refusing.must_keep_401(refused, USERS, now=10)
    assert ask(refusing, refused, USERS, now=10) is OTHER
    assert refusing.must_keep_401(OTHER, USERS, now=10)
    assert isinstance(ask(refusing, OTHER, USERS, now=10), Keep401)


def test_in_its_pause_an_operation_supersedes_nobody(refusing: SharedToken) -> None:
    flight = lead(refusing, refusing.token, LEADS, now=10, blocking=True)

    assert isinstance(ask(refusing, refusing.token, USERS, now=10, blocking=True), Keep401)
    assert not flight.over


def test_whether_a_401_is_to_be_kept_is_known_before_it_is_asked(refusing: SharedToken) -> None:
    token = refusing.token
    assert token is not None
    assert refusing.must_keep_401(token, USERS, now=10.75)
    assert not refusing.must_keep_401(token, USERS, now=11)
    assert not refusing.must_keep_401(token, LEADS, now=10)
    assert not refusing.must_keep_401(TOKEN, USERS, now=10)
    refusing.drop(token)
    assert refusing.must_keep_401(token, USERS, now=10)


@pytest.mark.parametrize("how", ["fail", "abandon"])
def test_a_flight_that_brings_no_token_counts_no_strike(renewed: SharedToken, how: str) -> None:
    flight = lead(renewed, TOKEN, USERS)
    renewed.abandon(flight, an_error()) if how == "fail" else renewed.abandon(flight)

    assert not renewed.note_refusal(TOKEN, USERS, now=0)
    assert not renewed.backoff.strikes


# A token endpoint that refuses


REFUSAL: dict[int, str | None] = {200: "invalid_client", 400: None, 401: None, 403: None, 429: None}


@pytest.mark.parametrize("status", REFUSAL)
def test_a_refusal_of_the_token_endpoint_begins_a_pause_that_doubles(
    shared: SharedToken, status: int
) -> None:
    now = 0.0
    for pause in PAUSES:
        error = shared.note_endpoint_error(an_error(status, REFUSAL[status]), now)
        assert error.retry_after == pause
        assert (error.status, error.error) == (status, REFUSAL[status])
        resting = shared.error_during_pause(now + pause - 0.25)
        assert resting is not None
        assert resting.args == (*error.args[:-1], 0.25)
        assert shared.error_during_pause(now + pause) is None
        now += pause


@pytest.mark.parametrize(
    ("status", "error"),
    [(200, None), (200, ""), (302, None), (404, "invalid_client"), (500, None), (503, "x")],
)
def test_another_wrong_answer_begins_none(shared: SharedToken, status: int, error: str | None) -> None:
    noted = shared.note_endpoint_error(an_error(status, error, retry_after=7.0), 0)

    assert noted.retry_after is None
    assert shared.error_during_pause(0) is None


@pytest.mark.parametrize(("said", "pause"), [(7.0, 7), (0.5, 0.5), (60.0, 60), (3600.0, 60)])
def test_a_pause_lasts_as_long_as_the_server_says_up_to_a_minute(
    shared: SharedToken, said: float, pause: float
) -> None:
    assert shared.note_endpoint_error(an_error(429, retry_after=said), 10).retry_after == pause
    assert shared.error_during_pause(10 + pause - 0.25) is not None
    assert shared.error_during_pause(10 + pause) is None


def test_there_is_no_pause_where_the_server_says_zero_seconds(shared: SharedToken) -> None:
    assert shared.note_endpoint_error(an_error(429, retry_after=0.0), 0).retry_after == 0
    assert shared.error_during_pause(0) is None


@pytest.fixture
def resting(renewed: SharedToken) -> SharedToken:
    """The token endpoint has refused twice, and rests until 2 s."""
    for _ in range(2):
        renewed.note_endpoint_error(an_error(), 0)
    assert renewed.error_during_pause(1.75) is not None
    return renewed


def end_by_success(shared: SharedToken) -> None:
    renew(shared, OTHER, TOKEN)


@pytest.mark.parametrize("end", [end_by_success, SharedToken.forget])
def test_a_token_from_the_endpoint_or_forgetting_ends_the_pause_and_the_next_is_short_again(
    resting: SharedToken, end: Any
) -> None:
    end(resting)

    assert resting.error_during_pause(0) is None
    assert resting.note_endpoint_error(an_error(), 0).retry_after == 1


def test_neither_a_token_from_a_cache_nor_that_of_a_superseded_leader_ends_the_pause(
    resting: SharedToken,
) -> None:
    old = lead(resting, TOKEN)
    resting.finish(lead(resting, TOKEN, given_up=old), CachedToken(OTHER.access_token), now=0)
    resting.finish(old, Token("late"), now=0)

    assert resting.error_during_pause(0) is not None


def test_the_pause_is_seen_without_the_lock(resting: SharedToken) -> None:
    with resting._lock:
        assert in_another_thread(lambda: resting.error_during_pause(0)) is not None


def test_the_pause_of_the_endpoint_stops_no_caller_from_leading(resting: SharedToken) -> None:
    """It may find a token in a cache: see _core."""
    assert not isinstance(resting.ask(TOKEN, None, 0, longest=1, task=a_task()), Keep401)
    assert ask(resting) is TOKEN


def test_what_is_kept_of_a_refusal_keeps_no_variables_alive() -> None:
    shared = SharedToken()
    with pytest.raises(TokenRequestError) as caught:
        raise shared.note_endpoint_error(TokenRequestError("text", DOMAIN, 401), 0.0)
    kept = shared.error_during_pause(0.5)
    assert kept is not None
    assert kept is not caught.value
    assert shared._failure is not caught.value
