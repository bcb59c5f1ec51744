"""A renewal that must not fetch or looks into a cache first, and what becomes of its tokens."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Generator
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.renewals import (
    PATIENCE,
    USERS,
    Driven,
    FakeCall,
    a_rejection,
    a_renewal,
    is_prepared,
    renew,
)
from thebase_auth._core.errors import TokenRequestError
from thebase_auth._core.renewal import Renewal
from thebase_auth._core.token import Token
from thebase_auth.caches._shared import CacheWork

HALF = PATIENCE / 2
LOST = ConnectionError("no route to host")


# An operation that is throttled


@pytest.fixture
def throttled(renewal: Renewal, clock: Clock) -> Renewal:
    """One whose `USERS` has rejected three tokens, which gives a pause of a second."""
    for number in range(3):
        renewal.record_response(USERS, renew(renewal, Token(f"rejected {number}")), is_401=True)
    return renewal


def test_throttled_operation_fetches_nothing_and_its_401_stands(throttled: Renewal, clock: Clock) -> None:
    token = throttled.token

    assert not is_prepared(throttled, USERS, token)
    caller = Driven(throttled, token, USERS)
    assert caller.is_done
    assert caller.result is None
    clock.now += 1
    assert is_prepared(throttled, USERS, token)
    assert Driven(throttled, token, USERS).is_fetching


def test_throttled_operation_uses_a_newer_token_that_is_there(throttled: Renewal) -> None:
    rejected = throttled.token
    new = renew(throttled, Token("of another operation"))

    assert is_prepared(throttled, USERS, rejected)
    assert Driven(throttled, rejected, USERS).result is new


# A cache


class FakeCache:
    """A `SharedCache` whose work a test finishes by hand."""

    def __init__(self) -> None:
        self.works: list[CacheWork] = []

    def start(self, flight: Any, is_known: Any, *, may_lock: bool) -> Generator[Any, Any, CacheWork]:
        yield from ()
        shared: Any = self
        work = CacheWork(shared, flight, is_known, HALF, may_lock=may_lock)
        self.works.append(work)
        return work


@pytest.fixture
def cache() -> FakeCache:
    return FakeCache()


@pytest.fixture
def cached(cache: FakeCache, clock: Clock) -> Renewal:
    return a_renewal(cache)


def look(cache: FakeCache, found: Token | None = None) -> None:
    work = cache.works[-1]
    work.found = found
    work.looked.finish()


def test_leader_uses_the_token_in_the_cache(cached: Renewal, cache: FakeCache) -> None:
    leader, waiter = Driven(cached), Driven(cached)
    look(cache, Token("of another process"))
    leader.go_on()
    waiter.go_on()

    assert leader.result == waiter.result == Token("of another process")
    assert leader.fetches == 0


def test_leader_fetches_what_is_not_in_the_cache_and_waits_for_the_store(
    cached: Renewal, cache: FakeCache
) -> None:
    leader, waiter = Driven(cached), Driven(cached)
    look(cache)
    leader.go_on()
    assert leader.is_fetching
    leader.go_on(Token("new"))
    assert leader.waits_for == cache.works[0].finished
    waiter.go_on()
    assert waiter.result == Token("new")  # only the leader waits for the cache
    cache.works[0].finished.finish()
    leader.go_on()

    assert leader.result == Token("new")
    assert not cache.works[0]._is_given_up


def test_leader_waits_for_the_cache_for_half_of_its_patience_each_time(
    cached: Renewal, cache: FakeCache
) -> None:
    leader = Driven(cached)
    assert leader.wait_in_vain() == HALF
    assert leader.is_fetching
    leader.go_on(Token("new"))
    assert leader.result == Token("new")

    slow_to_store = Driven(cached, cached.token)
    look(cache)
    slow_to_store.go_on()
    slow_to_store.go_on(Token("newer"))
    assert slow_to_store.wait_in_vain() == HALF
    assert slow_to_store.result == Token("newer")
    assert all(work._is_given_up for work in cache.works)


def test_pause_of_the_token_endpoint_takes_no_lock(cached: Renewal, cache: FakeCache) -> None:
    rejected = Driven(cached)
    look(cache)
    rejected.go_on()
    rejected.go_on(a_rejection())
    paused = Driven(cached)
    assert not cache.works[-1]._may_lock
    look(cache)
    paused.go_on()
    assert isinstance(paused.error, TokenRequestError)


def test_retired_token_is_not_taken_from_the_cache(cached: Renewal, cache: FakeCache) -> None:
    leader = Driven(cached)
    look(cache, Token("old"))
    leader.go_on()
    cached.drop(cached.token)
    Driven(cached)

    assert cache.works[-1]._is_known(Token("old"))
    assert not cache.works[-1]._is_known(Token("another"))


@pytest.fixture
def throttled_and_cached(cached: Renewal, cache: FakeCache) -> Renewal:
    for number in range(3):
        leader = Driven(cached, cached.token)
        look(cache, Token(f"rejected {number}"))
        leader.go_on()
        cached.record_response(USERS, cached.token, is_401=True)
    return cached


def test_throttled_operation_only_looks_into_the_cache(
    throttled_and_cached: Renewal, cache: FakeCache
) -> None:
    renewal = throttled_and_cached
    assert is_prepared(renewal, USERS, renewal.token)

    in_vain, waiter = Driven(renewal, renewal.token, USERS), Driven(renewal, renewal.token)
    assert not cache.works[-1]._may_lock
    look(cache)
    in_vain.go_on()
    assert in_vain.is_done
    assert (in_vain.result, in_vain.error, in_vain.fetches) == (None, None, 0)
    waiter.go_on()
    assert cache.works[-1]._may_lock  # the waiter is not throttled
    waiter.cancel()

    finding = Driven(renewal, renewal.token, USERS)
    look(cache, Token("of another process"))
    finding.go_on()
    assert finding.result == Token("of another process")


def test_throttled_callers_take_one_look_for_all(throttled_and_cached: Renewal, cache: FakeCache) -> None:
    renewal = throttled_and_cached
    callers = [Driven(renewal, renewal.token, USERS) for _ in range(3)]
    looks = len(cache.works)
    look(cache)
    for caller in callers:
        caller.go_on()
        assert caller.is_done
        assert (caller.result, caller.error) == (None, None)
    assert len(cache.works) == looks


def test_throttled_waiter_does_not_replace_a_running_token_request(throttled: Renewal) -> None:
    rejected = throttled.token
    leader = Driven(throttled, rejected)
    waiter = Driven(throttled, rejected, USERS)
    waiter.wait_in_vain()
    assert waiter.is_done
    assert waiter.result is None
    leader.go_on(Token("new"))
    assert leader.result == Token("new")


def test_throttled_waiter_gets_no_error_of_the_token_endpoint(
    throttled_and_cached: Renewal, cache: FakeCache
) -> None:
    renewal = throttled_and_cached
    leader, waiter = Driven(renewal, renewal.token), Driven(renewal, renewal.token, USERS)
    look(cache)
    leader.go_on()
    leader.go_on(a_rejection())
    waiter.go_on()

    assert waiter.is_done
    assert (waiter.result, waiter.error) == (None, None)


# What becomes of a token


def test_token_is_dropped_only_while_it_is_in_use(renewal: Renewal, token: Token) -> None:
    new = renew(renewal)
    renewal.drop(token)
    renewal.drop(None)
    assert renewal.token is new

    renewal.drop(new)
    assert renewal.token is None
    assert Driven(renewal).is_fetching


def test_forget_drops_the_token_and_ends_no_flight(renewal: Renewal, token: Token) -> None:
    leader, waiter = Driven(renewal, token), Driven(renewal, token)
    renewal.forget()
    assert renewal.token is None
    leader.go_on(Token("new"))
    waiter.go_on()

    assert waiter.result == Token("new")


@pytest.mark.parametrize("encode", [str, str.encode], ids=["str", "bytes"])
def test_token_is_recognised_in_a_header_while_in_use_and_retired(
    renewal: Renewal, token: Token, encode: Callable[[str], Any]
) -> None:
    header = encode(token.authorization)
    assert renewal.token_in(header) is token
    renewal.drop(token)
    assert renewal.token_in(header) is token

    for other in (None, encode(""), encode("Basic fetched"), encode("Bearer x")):
        assert renewal.token_in(other) is None


def test_last_256_retired_tokens_are_recognised(renewal: Renewal) -> None:
    for number in range(258):
        renew(renewal, Token(str(number)))

    assert renewal.token_in("Bearer 0") is None
    assert renewal.token_in("Bearer 1") is not None


def test_401_stands_for_a_one_shot_body_and_its_token_is_dropped(
    renewal: Renewal, token: Token, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert not is_prepared(renewal, USERS, token, can_rewind=False)

    assert renewal.token is None
    assert caplog.messages == ["not replaying GET /v2/users after a 401: its body cannot be sent again"]


def test_throttled_operation_drops_no_token_for_a_one_shot_body(throttled_and_cached: Renewal) -> None:
    token = throttled_and_cached.token
    assert not is_prepared(throttled_and_cached, USERS, token, can_rewind=False)

    assert throttled_and_cached.token is token


@pytest.mark.parametrize(
    ("can_be_replayed", "length", "renews"), [(True, 2**20, False), (True, 2**20 + 1, True), (False, 5, True)]
)
def test_expired_token_is_not_tried_with_a_large_or_one_shot_body(
    renewal: Renewal, can_be_replayed: bool, length: int, renews: bool
) -> None:
    headers = {"Content-Length": str(length)}

    assert FakeCall(renewal, headers, can_rewind=can_be_replayed)._must_renew_first() == renews


@pytest.mark.parametrize(("expires_at", "is_dropped"), [(1.0, True), (None, True), (9e9, False)])
def test_after_a_call_without_a_response_expired_tokens_are_renewed_first(
    renewal: Renewal, expires_at: float | None, is_dropped: bool
) -> None:
    token = renew(renewal, Token("dated", expires_at))
    renewal.record_no_response(token)

    assert (renewal.token is None) == is_dropped
    assert FakeCall(renewal)._must_renew_first() == is_dropped


def test_unused_renewal_is_freed() -> None:
    renewal = a_renewal()
    renew(renewal)
    seen = weakref.ref(renewal)
    del renewal
    gc.collect()

    assert seen() is None
