"""How a caller comes by a token: it fetches one, or waits for another caller, within its own time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.shared_tokens import (
    LONG,
    OTHER,
    TOKEN,
    USERS,
    a_core,
    a_task,
    an_error,
    ask,
    in_another_thread,
    lead,
    renew,
    wait,
)
from tests.support.token_answers import DOMAIN
from thebase_auth._core.caller import Caller
from thebase_auth._core.core import Core
from thebase_auth._core.errors import TokenRequestError, TokenTimeoutError
from thebase_auth._core.pending import Pending, WaitFor
from thebase_auth._core.shared_token import Fetch, Flight
from thebase_auth._core.token import Token
from thebase_auth._waiting import blocking, running_task
from thebase_auth.testing._mounts import awaiting

FETCHED, NEWER = Token("fetched"), Token("newer")
NOW = 1000.0  # when the clock stands still
MUCH_TIME: dict[str, object] = {"connect": LONG, "read": LONG}

Steps = Generator[Any, Any, Token | None]


@pytest.fixture
def core(clock: Clock) -> Core:
    return a_core()


def fetch(timeouts: dict[str, float]) -> Generator[Any, Any, Token]:
    """A token request of one step, which the test answers."""
    yield timeouts
    return FETCHED


def steps_of(core: Core, refused: Token | None = None, **options: Any) -> Steps:
    """Those of a task that has eight seconds."""
    operation = options.pop("operation", None)
    caller = Caller(core, fetch, {"connect": 3, "read": 8}, **{"task": a_task(), **options})
    return caller.renew(refused, operation)


def result_of(steps: Steps) -> Token | None:
    with pytest.raises(StopIteration) as end:
        next(steps)
    result: Token | None = end.value.value
    return result


def waiting_for(core: Core, **options: Any) -> tuple[Flight, Steps]:
    """A flight, begun at NOW, and a caller that waits for it."""
    flight = lead(core.shared, options.get("refused"), now=NOW)
    steps = steps_of(core, **options)
    assert next(steps) == WaitFor(flight, 8)
    return flight, steps


# Leaders


def test_a_token_at_hand_takes_no_step(core: Core) -> None:
    renew(core.shared, TOKEN)

    assert result_of(steps_of(core)) is TOKEN
    assert result_of(steps_of(core, Token("older"))) is TOKEN


def test_a_leader_sends_the_token_request_within_the_timeouts_of_its_call(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    steps = steps_of(core)
    with caplog.at_level(logging.DEBUG):
        assert next(steps) == {"connect": 3, "read": 8}
        flight = wait(core.shared, now=NOW + 10.9)  # their sum
        assert flight.begun
        assert not flight.at_cache
        assert result_of(steps) is core.shared.token is flight.token is FETCHED

    assert caplog.messages == [f"fetched an access token from {DOMAIN}"]


def test_a_renewal_is_for_the_operation_that_refused(core: Core) -> None:
    core.shared.token = TOKEN
    steps = steps_of(core, TOKEN, operation=USERS)
    next(steps)

    assert wait(core.shared, TOKEN, now=NOW).operation == USERS
    assert result_of(steps) is FETCHED
    assert result_of(steps_of(core, TOKEN, operation=USERS)) is FETCHED  # renewed by another caller


def test_a_renewal_that_is_not_due_yet_gives_no_token(core: Core) -> None:
    core.shared.token = TOKEN
    for _ in range(2):
        core.shared.backoff.strike(USERS, NOW)

    steps = steps_of(core, TOKEN, operation=USERS)
    assert next(steps).seconds <= 0.05  # so that processes get out of step
    assert result_of(steps) is None


@pytest.mark.parametrize("status", [401, 500])
def test_a_refusal_of_the_token_endpoint_is_that_of_all_who_wait(core: Core, status: int) -> None:
    steps = steps_of(core)
    next(steps)
    waiters = [steps_of(core) for _ in range(2)]
    for waiter in waiters:
        next(waiter)
    errors: list[TokenRequestError] = []
    for one in (steps, *waiters):
        with pytest.raises(TokenRequestError) as caught:
            one.throw(an_error(status)) if one is steps else next(one)
        errors.append(caught.value)

    assert len({id(error) for error in errors}) == 3
    assert len({error.args for error in errors}) == 1
    assert {error.retry_after for error in errors} == {1.0 if status == 401 else None}
    assert all(error.__cause__ is None for error in errors)


def test_while_the_token_endpoint_rests_callers_get_its_error_without_a_request(
    core: Core, clock: Clock
) -> None:
    core.shared.note_endpoint_error(an_error(), NOW)
    clock.now += 0.75
    with pytest.raises(TokenRequestError) as caught:
        next(steps_of(core))
    assert caught.value.retry_after == 0.25

    clock.now += 0.25
    steps = steps_of(core)
    assert next(steps) == {"connect": 3, "read": 8}
    assert result_of(steps) is FETCHED
    assert core.shared.error_during_pause(clock.now) is None


@pytest.mark.parametrize("ending", [OSError, KeyboardInterrupt, GeneratorExit])
def test_when_a_leader_is_interrupted_its_waiters_ask_again(core: Core, ending: type[BaseException]) -> None:
    steps = steps_of(core)
    next(steps)
    waiters = [steps_of(core) for _ in range(2)]
    waits = [next(waiter) for waiter in waiters]
    with pytest.raises(ending):
        steps.throw(ending())

    assert all(one.pending.over for one in waits)
    assert next(waiters[0]) == {"connect": 3, "read": 8}
    again = next(waiters[1])
    assert again.pending is not waits[1].pending
    assert result_of(waiters[0]) is result_of(waiters[1]) is FETCHED


def test_a_leader_that_is_interrupted_while_it_abandons_abandons_all_the_same(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandon, interrupts = core.shared.abandon, [KeyboardInterrupt()]

    def interrupted(flight: Flight) -> None:
        if interrupts:
            raise interrupts.pop()
        abandon(flight)

    monkeypatch.setattr(core.shared, "abandon", interrupted)
    steps = steps_of(core)
    next(steps)
    flight = wait(core.shared, now=NOW)
    with pytest.raises(KeyboardInterrupt):
        steps.close()

    assert flight.over
    assert core.shared._flight is None


def is_lost_connection(error: Exception) -> bool:
    return isinstance(error, ConnectionError)


def test_a_lost_connection_is_that_of_all_who_wait_where_the_library_shows_it(core: Core) -> None:
    steps = steps_of(core, is_shared=is_lost_connection)
    next(steps)
    waiter = steps_of(core, is_shared=is_lost_connection)
    next(waiter)
    lost = ConnectionError("lost")
    for one in (steps, waiter):
        with pytest.raises(ConnectionError, match="lost") as caught:
            one.throw(lost) if one is steps else next(one)
        assert (caught.value is lost) == (one is steps)


@pytest.mark.parametrize(
    ("error", "waiters_view"),
    [(TimeoutError(), is_lost_connection), (ConnectionError(), lambda _: False)],
    ids=["the waiter may have more time", "the waiter uses another library"],
)
def test_another_failure_of_the_transport_is_that_of_its_leader(
    core: Core, error: Exception, waiters_view: Any
) -> None:
    steps = steps_of(core, is_shared=is_lost_connection)
    next(steps)
    waiter = steps_of(core, is_shared=waiters_view)
    next(waiter)
    with pytest.raises(type(error)):
        steps.throw(error)

    assert next(waiter) == {"connect": 3, "read": 8}


# Waiters


@pytest.mark.parametrize(
    ("longest", "at_cache", "seconds"), [(60, False, 8), (60, True, 4), (5, False, 5), (3, True, 3)]
)
def test_a_waiter_waits_as_long_as_the_leader_may_take_and_it_has_time(
    core: Core, longest: float, at_cache: bool, seconds: float
) -> None:
    step = core.shared.ask(None, None, NOW, longest=longest, task=a_task())
    assert isinstance(step, Fetch)
    step.flight.at_cache = at_cache

    assert next(steps_of(core)) == WaitFor(step.flight, seconds)


def test_a_waiter_goes_on_with_the_token_of_its_leader(core: Core) -> None:
    flight, steps = waiting_for(core)
    core.shared.finish(flight, TOKEN, now=0)

    assert result_of(steps) is TOKEN


def test_a_waiter_goes_on_with_a_newer_token_if_there_is_one(core: Core) -> None:
    flight, steps = waiting_for(core)
    core.shared.finish(flight, TOKEN, now=0)
    renew(core.shared, NEWER, TOKEN, now=NOW)

    assert result_of(steps) is NEWER


@pytest.mark.parametrize("newest", [None, OTHER], ids=["dropped", "refused before"])
def test_a_waiter_goes_on_with_the_token_of_its_leader_where_the_newest_is_of_no_use(
    core: Core, newest: Token | None
) -> None:
    flight, steps = waiting_for(core, refused=OTHER)
    core.shared.finish(flight, TOKEN, now=0)
    core.shared.token = newest

    assert result_of(steps) is TOKEN


@pytest.mark.parametrize("left", [0.25, 1.0])
def test_a_waiter_whose_leader_abandons_goes_on_with_the_time_that_is_left(
    core: Core, clock: Clock, left: float
) -> None:
    flight, steps = waiting_for(core)
    core.shared.abandon(flight)
    clock.now += 8 - left

    assert next(steps) == {"connect": left, "read": left}
    assert result_of(steps) is FETCHED


def test_a_waiter_whose_time_is_over_gives_up(core: Core, clock: Clock) -> None:
    flight, steps = waiting_for(core)
    clock.now += 8

    with pytest.raises(TokenTimeoutError, match=f"token for {DOMAIN}; if that happens again") as caught:
        next(steps)
    assert caught.value.domain == DOMAIN
    assert not flight.over


def test_a_waiter_that_was_woken_too_early_waits_on(core: Core, clock: Clock) -> None:
    flight, steps = waiting_for(core)
    clock.now += 3

    assert next(steps) == WaitFor(flight, 5)


def test_a_waiter_whose_leader_is_overdue_leads(core: Core, clock: Clock) -> None:
    step = core.shared.ask(None, None, NOW, longest=5, task=a_task())
    assert isinstance(step, Fetch)
    steps = steps_of(core)
    next(steps)
    clock.now += 5

    assert next(steps) == {"connect": 3, "read": 3}
    assert step.flight.over


def held_up_at_a_cache(flight: Flight) -> None:
    flight.at_cache = True


def interrupted_before_it_began(flight: Flight) -> None:
    flight.begun = False


def of_a_loop_that_has_stopped(flight: Flight) -> None:
    task = a_task()
    task.is_gone = lambda: True
    flight._task = task


@pytest.mark.parametrize(
    "make", [held_up_at_a_cache, interrupted_before_it_began, of_a_loop_that_has_stopped]
)
def test_a_waiter_supersedes_a_leader_from_which_nothing_may_come(core: Core, make: Any) -> None:
    flight, steps = waiting_for(core)
    other = steps_of(core)
    next(other)
    make(flight)

    assert next(steps) == {"connect": 3, "read": 8}
    assert flight.over
    assert next(other).pending is core.shared._flight  # the next waiter waits for this one


# At a cache


class Cache:
    """In the place of a coordinator: one look, and one store, each a step."""

    def __init__(self, found: Token | None = None, *, is_broken: bool = False) -> None:
        self.found = found
        self.is_broken = is_broken

    def load(self, flight: Flight, seconds: float) -> Any:
        yield ("look", flight.at_cache, seconds)
        return (
            None
            if self.is_broken
            else SimpleNamespace(found=self.found, wait_until_stored=self.wait_until_stored)
        )

    def wait_until_stored(self, seconds: float) -> Any:
        yield ("store", seconds)


def with_cache(core: Core, cache: Cache) -> Core:
    core.coordinator = cache  # type: ignore[assignment]
    core.shared._has_cache = True
    return core


def test_a_leader_takes_the_token_of_a_cache(core: Core) -> None:
    steps = steps_of(with_cache(core, Cache(TOKEN)))
    assert next(steps) == ("look", True, 8)

    assert result_of(steps) is core.shared.token is TOKEN
    assert core.shared._fetched_for is None


def test_a_token_in_a_cache_is_taken_while_the_token_endpoint_rests(core: Core) -> None:
    core.shared.note_endpoint_error(an_error(), NOW)
    steps = steps_of(with_cache(core, Cache(TOKEN)))
    next(steps)

    assert result_of(steps) is TOKEN


def test_a_leader_fetches_and_stores_what_a_cache_has_not(core: Core, clock: Clock) -> None:
    steps = steps_of(with_cache(core, Cache()))
    next(steps)
    flight = wait(core.shared, now=NOW)
    clock.now += 6
    assert next(steps) == {"connect": 2, "read": 2}
    assert not flight.at_cache
    assert next(steps) == ("store", 2)
    assert flight.token is FETCHED  # those who wait need not wait for the cache
    assert result_of(steps) is FETCHED


def test_a_leader_goes_on_without_a_cache_that_is_broken(core: Core) -> None:
    steps = steps_of(with_cache(core, Cache(is_broken=True)))
    next(steps)

    assert next(steps) == {"connect": 3, "read": 8}
    assert result_of(steps) is FETCHED


def test_an_interruption_while_waiters_are_woken_leaves_none_asleep(core: Core) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    woken: list[bool] = []
    steps = steps_of(core)
    next(steps)
    flight = wait(core.shared, now=NOW)
    flight.wakers += [interrupt, lambda: woken.append(True)]

    with pytest.raises(KeyboardInterrupt):
        next(steps)
    assert woken == [True]


def test_a_leader_is_at_its_cache_from_the_first_moment(core: Core) -> None:
    with_cache(core, Cache())
    lead(core.shared, now=NOW)

    assert next(steps_of(core)).seconds == 4  # half the time


def test_a_leader_whose_time_is_over_at_a_cache_gives_up(core: Core, clock: Clock) -> None:
    steps = steps_of(with_cache(core, Cache()))
    next(steps)
    flight = wait(core.shared, now=NOW)
    clock.now += 8

    with pytest.raises(TokenTimeoutError, match=f"for the token cache.* for {DOMAIN}"):
        next(steps)
    assert flight.over
    assert flight.failure is None


# With real waiting: what a waiter leaves, it leaves within a second


def fetch_at_once(timeouts: dict[str, float]) -> Generator[Any, Any, Token]:
    return FETCHED
    yield


def token_in_a_thread(core: Core) -> Token | None:
    return in_another_thread(lambda: blocking(Caller(core, fetch_at_once, MUCH_TIME).fresh_token()))


@pytest.fixture
def _looks_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thebase_auth._waiting._LOOK_AGAIN", 0.02)


@pytest.mark.usefixtures("_looks_again_soon")
def test_a_thread_leaves_a_leader_that_was_interrupted_before_it_began() -> None:
    core = a_core()
    ask(core.shared, now=core.now())

    assert token_in_a_thread(core) is FETCHED


@pytest.mark.usefixtures("_looks_again_soon")
def test_a_thread_leaves_a_leader_whose_loop_has_stopped() -> None:
    core, reply = a_core(), Pending()

    def fetch_slowly(_: Any) -> Generator[Any, Any, Token]:
        yield WaitFor(reply, LONG)
        return TOKEN

    async def call() -> Token | None:
        return await awaiting(Caller(core, fetch_slowly, MUCH_TIME, task=running_task()).fresh_token())

    async def begin() -> Any:
        task = asyncio.create_task(call())
        while not reply.wakers and not task.done():
            await asyncio.sleep(0)
        return task

    with asyncio.Runner() as runner:
        leader = runner.run(begin())
        assert token_in_a_thread(core) is FETCHED

        async def end() -> Any:
            reply.end()
            return await leader

        assert runner.run(end()) is TOKEN
    assert core.shared.token is FETCHED
    assert core.shared.token_in(TOKEN.authorization) is TOKEN


def test_threads_whose_leader_is_interrupted_go_on_with_another() -> None:
    count = 8
    core, reply = a_core(), Pending()
    interrupted = [True]
    fetches: list[object] = []

    def fetch_or_be_interrupted(_: Any) -> Generator[Any, Any, Token]:
        fetches.append(None)
        if interrupted.pop() if interrupted else False:
            yield WaitFor(reply, LONG)
            raise KeyboardInterrupt
        return FETCHED

    def call() -> Any:
        try:
            return blocking(Caller(core, fetch_or_be_interrupted, MUCH_TIME).fresh_token())
        except KeyboardInterrupt:
            return "interrupted"

    with ThreadPoolExecutor(count) as pool:
        calls = [pool.submit(call) for _ in range(count)]
        deadline = time.monotonic() + LONG
        while (flight := core.shared._flight) is None or len(flight.wakers) < count - 1:
            assert time.monotonic() < deadline
            threading.Event().wait(0.002)
        reply.end()
        results = [one.result(LONG) for one in calls]

    assert sorted(map(str, results)) == sorted([*[str(FETCHED)] * (count - 1), "interrupted"])
    assert len(fetches) == 2
