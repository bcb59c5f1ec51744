"""What a 401 means for one request: whether it is replayed, with which token, and when it is final."""

from __future__ import annotations

import io
import logging

import pytest

from tests.support.clock import Clock
from tests.support.shared_tokens import LEADS, OTHER, TOKEN, USERS, a_core, renew
from thebase_auth._core.attempt import Attempt
from thebase_auth._core.backoff import Operation
from thebase_auth._core.bodies import IN_MEMORY, ONCE, Body, body_of
from thebase_auth._core.core import Core
from thebase_auth._core.token import CachedToken, Token

FETCHED = Token("fetched")
NOW = 1000.0  # when the clock stands still


@pytest.fixture
def core(clock: Clock) -> Core:
    """One that has a token."""
    core = a_core()
    renew(core.shared, TOKEN, now=NOW)
    return core


def attempt(
    core: Core, refused: Token | None = TOKEN, body: Body = IN_MEMORY, operation: Operation = USERS
) -> Attempt:
    return Attempt(core, operation, body, refused)


def strike(core: Core, number: int) -> Token:
    """USERS refuses the token in use, and then the one that is fetched on its account."""
    token = renew(core.shared, Token(f"token-{number}"), core.shared.token, USERS, now=core.now())
    attempt(core, token).replay_refused(token)
    return token


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


# Whether it is replayed


@pytest.mark.parametrize("refused", [TOKEN, None], ids=["a token of ours", "none of ours"])
def test_a_request_whose_body_can_be_rewound_may_be_replayed(core: Core, refused: Token | None) -> None:
    file = io.BytesIO(b"body")
    body = body_of(file, 4)
    file.read()

    assert attempt(core, refused, body).prepare_replay()
    assert file.tell() == 0
    assert core.shared.token is TOKEN


def test_a_request_whose_body_cannot_be_sent_again_is_not_and_the_next_one_fetches(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert not attempt(core, body=ONCE).prepare_replay()

    assert core.shared.token is None
    (said,) = caplog.messages
    assert said.startswith("not replaying GET /v2/users after a 401")


def test_giving_up_drops_the_refused_token_and_no_newer_one(core: Core) -> None:
    attempt(core, None, ONCE).drop_refused()
    attempt(core, OTHER, ONCE).drop_refused()
    assert core.shared.token is TOKEN

    attempt(core).drop_refused()
    assert core.shared.token is None


def test_in_the_pause_of_its_operation_a_401_stands_and_its_token_stays(core: Core) -> None:
    strike(core, 1)
    assert attempt(core, core.shared.token).prepare_replay()
    refused = strike(core, 2)

    for body in (IN_MEMORY, ONCE):
        assert not attempt(core, refused, body).prepare_replay()
    assert core.shared.token is refused
    assert attempt(core, refused, operation=LEADS).prepare_replay()
    assert attempt(core, TOKEN).prepare_replay()  # there is another one
    core.shared.drop(refused)
    assert attempt(core, None).prepare_replay()


def test_after_its_pause_an_operation_is_replayed_again(core: Core, clock: Clock) -> None:
    refused = [strike(core, number) for number in range(2)][-1]
    clock.now += 1

    assert attempt(core, refused).prepare_replay()


# Strikes


def test_the_second_strike_is_warned_of_once(
    core: Core, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    strike(core, 1)
    assert warnings(caplog) == []

    for number in range(2, 6):
        strike(core, number)
        clock.now += 60
    (text,) = warnings(caplog)
    assert text.startswith("GET /v2/users on ")


def test_a_strike_may_be_seen_by_the_first_sending_of_a_later_call(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    strike(core, 1)
    token = renew(core.shared, OTHER, core.shared.token, USERS, now=NOW)

    assert not attempt(core, token).prepare_replay()
    assert len(warnings(caplog)) == 1


def test_the_end_of_a_token_is_not_a_strike(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        token = renew(core.shared, OTHER, core.shared.token, USERS, now=NOW - 61)
        assert attempt(core, token).prepare_replay()
    assert not core.strikes
    assert warnings(caplog) == []


def test_neither_a_body_that_cannot_be_sent_again_nor_a_foreign_header_is_a_strike(core: Core) -> None:
    for refused, body in ((TOKEN, ONCE), (None, IN_MEMORY), (None, ONCE)):
        attempt(core, refused, body).prepare_replay()

    assert not core.shared.backoff.strikes


# When it is final


def test_a_401_to_a_replay_is_final(core: Core) -> None:
    made = attempt(core)

    assert not made.replay_refused(OTHER)
    assert made.refused is OTHER


def test_after_a_dead_token_from_a_cache_a_request_is_replayed_once_more(core: Core) -> None:
    borrowed = [CachedToken("old"), CachedToken("older")]
    made = attempt(core)

    assert made.replay_refused(borrowed[0])
    assert made.refused is borrowed[0]
    assert not made.replay_refused(borrowed[1])
    assert made.refused is borrowed[1]

    made = attempt(core)
    assert made.replay_refused(borrowed[0])
    assert not made.replay_refused(FETCHED)


def test_a_request_that_was_sent_with_an_older_token_is_replayed_once_more(core: Core) -> None:
    token = renew(core.shared, OTHER, TOKEN, USERS, now=NOW)
    made = Attempt(core, USERS, IN_MEMORY, TOKEN, is_stale=True)

    assert made.replay_refused(token)
    assert not core.shared.backoff.strikes
    assert made.refused is token
    assert not made.replay_refused(token)
    assert core.shared.backoff.strikes[USERS].count == 1
