"""A renewal that must not fetch or looks into a cache first, and what becomes of its tokens."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Generator
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.renewals import TIMEOUT, USERS, Driven, a_rejection, a_renewal, renew
from thebase_auth._core.errors import TokenRequestError
from thebase_auth._core.renewal import Renewal
from thebase_auth._core.token import Token
from thebase_auth.caches._shared import CacheWork

HALF = TIMEOUT / 2


# An operation that is throttled


@pytest.fixture
def throttled(renewal: Renewal, clock: Clock) -> Renewal:
    """One whose `USERS` has rejected three tokens, which gives a pause of a second."""
    for number in range(3):
        renewal.record_response(USERS, renew(renewal, Token(f"rejected {number}")), is_401=True)
    return renewal


def test_throttled_operation_fetches_nothing_and_its_401_stands(throttled: Renewal, clock: Clock) -> None:
    token = throttled.token

    assert not throttled.may_have_newer(token)
    caller = Driven(throttled, token, USERS)
    assert caller.is_done
    assert caller.result is None
    clock.now += 1
    assert Driven(throttled, token, USERS).is_fetching


def test_throttled_operation_uses_a_newer_token_that_is_there(throttled: Renewal) -> None:
    rejected = throttled.token
    new = renew(throttled, Token("of another operation"))

    assert throttled.may_have_newer(rejected)
    assert Driven(throttled, rejected, USERS).result is new


def test_rejected_token_that_is_no_longer_in_use_does_not_throttle(renewal: Renewal) -> None:
    tokens = [renew(renewal, Token(f"token {number}")) for number in range(4)]
    for late in tokens[:3]:
        renewal.record_response(USERS, late, is_401=True)

    assert not renewal.is_throttled(USERS, tokens[-1])


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


@pytest.mark.parametrize("hurried_is_last", [True, False])
def test_record_that_two_flights_find_is_one_token(
    cached: Renewal, cache: FakeCache, hurried_is_last: bool
) -> None:
    first = Driven(cached)
    hurried = Driven(cached, timeout=TIMEOUT / 4)
    while hurried.waits_for is not cache.works[-1].looked:
        hurried.time_out()  # it passes the first one over
    for work in cache.works:
        work.found = Token("shared", is_from_cache=True)
        work.looked.finish()
    for caller in (first, hurried) if hurried_is_last else (hurried, first):
        caller.go_on()

    assert first.result is hurried.result is cached.token
    assert cached.token_in("Bearer shared") is cached.token
    look(cache)
    again = Driven(cached, first.result)
    look(cache)
    again.go_on()
    assert again.is_fetching


def test_leader_with_an_empty_cache_fetches_and_waits_for_the_store(
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


def test_leader_waits_for_the_cache_for_half_of_its_timeout_each_time(
    cached: Renewal, cache: FakeCache
) -> None:
    leader = Driven(cached)
    assert leader.time_out() == HALF
    assert leader.is_fetching
    leader.go_on(Token("new"))
    assert leader.result == Token("new")

    slow_to_store = Driven(cached, cached.token)
    look(cache)
    slow_to_store.go_on()
    slow_to_store.go_on(Token("newer"))
    assert slow_to_store.time_out() == HALF
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
    assert renewal.may_have_newer(renewal.token)

    looking, waiter = Driven(renewal, renewal.token, USERS), Driven(renewal, renewal.token)
    assert not cache.works[-1]._may_lock
    look(cache)
    looking.go_on()
    assert looking.is_done
    assert (looking.result, looking.error, looking.fetches) == (None, None, 0)
    waiter.go_on()
    assert cache.works[-1]._may_lock  # the waiter is not throttled


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
    waiter.time_out()
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


def test_forget_ends_the_pause_of_the_token_endpoint(renewal: Renewal) -> None:
    Driven(renewal).go_on(a_rejection())
    assert isinstance(Driven(renewal).error, TokenRequestError)
    renewal.forget()

    assert Driven(renewal).is_fetching


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


@pytest.mark.parametrize(("expires_at", "is_dropped"), [(1.0, True), (None, True), (9e9, False)])
def test_call_without_a_response_drops_an_expired_token(
    renewal: Renewal, expires_at: float | None, is_dropped: bool
) -> None:
    renewal.record_no_response(renew(renewal, Token("dated", expires_at)))

    assert (renewal.token is None) == is_dropped
    assert renewal.renews_expired == is_dropped


def test_unused_renewal_is_freed() -> None:
    renewal = a_renewal()
    renew(renewal)
    seen = weakref.ref(renewal)
    del renewal
    gc.collect()

    assert seen() is None
