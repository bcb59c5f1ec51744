"""The shared token among real threads, in a child that was forked, and when the collector runs."""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.shared_tokens import (
    LONG,
    LONGEST,
    OTHER,
    TOKEN,
    USERS,
    a_core,
    ask,
    in_another_thread,
    lead,
    renew,
    wait,
)
from thebase_auth._core.caller import Caller
from thebase_auth._core.shared_token import Fetch, Flight, SharedToken, Wait
from thebase_auth._core.token import Token
from thebase_auth._waiting import wait_blocking


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """What *call* gives in so many threads, which all begin at once."""
    about_to_begin = threading.Barrier(count)

    def begin() -> Any:
        about_to_begin.wait(LONG)
        return call()

    with ThreadPoolExecutor(count) as pool:
        return [one.result(LONG) for one in [pool.submit(begin) for _ in range(count)]]


# Threads


def test_of_a_thousand_threads_that_ask_at_once_one_leads_and_all_have_its_token(shared: SharedToken) -> None:
    count = 1000
    asked = threading.Barrier(count)

    def call() -> tuple[bool, Token | None]:
        step = ask(shared, blocking=True)
        assert isinstance(step, (Fetch, Wait))
        step.flight.begun = True
        asked.wait(LONG)
        if isinstance(step, Fetch):
            return True, shared.finish(step.flight, TOKEN, now=0)
        wait_blocking(step.flight, LONG)
        return False, step.flight.token

    assert sorted(in_threads(count, call), key=lambda one: one[0]) == [*[(False, TOKEN)] * 999, (True, TOKEN)]


def test_threads_whose_leaders_abandon_all_get_the_token_of_the_first_that_does_not(
    shared: SharedToken,
) -> None:
    count, abandoning = 50, 20
    leaders: list[Flight] = []

    def call() -> Token:
        while True:
            match ask(shared, blocking=True):
                case Fetch(flight):
                    flight.begun = True
                    leaders.append(flight)
                    if len(leaders) > abandoning:
                        return shared.finish(flight, TOKEN, now=0)
                    shared.abandon(flight)
                case Wait(flight):
                    wait_blocking(flight, LONG)
                case token:
                    assert isinstance(token, Token)
                    return token

    assert in_threads(count, call) == [TOKEN] * count
    assert len(leaders) == abandoning + 1


def test_of_many_threads_that_one_token_fails_one_is_to_tell_the_user(renewed: SharedToken) -> None:
    renew(renewed, OTHER, TOKEN, USERS)
    renewed.note_refusal(OTHER, USERS, now=0)
    newer = renew(renewed, Token("ghi"), OTHER, USERS)

    assert sum(in_threads(100, lambda: renewed.note_refusal(newer, USERS, now=0))) == 1
    assert renewed.backoff.strikes[USERS].count == 2


def test_the_token_is_read_and_recognised_without_the_lock(renewed: SharedToken) -> None:
    def look() -> tuple[Any, ...]:
        return renewed.token, renewed.token_in("Bearer abc"), renewed.is_former(TOKEN)

    with renewed._lock:
        assert in_another_thread(look) == (TOKEN, TOKEN, False)


def test_the_lock_is_given_back_when_its_holder_is_interrupted(shared: SharedToken) -> None:
    class Interrupting(float):
        def __ge__(self, other: float) -> bool:
            raise KeyboardInterrupt

    flight = lead(shared)
    with pytest.raises(KeyboardInterrupt):
        ask(shared, now=Interrupting())

    assert in_another_thread(lambda: wait(shared)) is flight


# The collector

# It may run at any allocation, also of a caller that holds the lock, and then closes suspended flows
# that nobody refers to any more: those of a loop that ended with tasks pending.


class ClockThatCollects(float):
    """A time that makes the garbage collector run while it is compared, so inside of ask()."""

    def __ge__(self, other: float) -> bool:
        gc.collect()
        return super().__ge__(other)


@pytest.mark.parametrize("now", [0.0, LONGEST], ids=["a waiter", "one that supersedes"])
def test_a_flow_that_is_collected_while_another_caller_asks_stops_nobody(now: float) -> None:
    core = a_core()
    shared = core.shared

    def suspend_a_leader() -> None:
        def fetch(_: Any) -> Iterator[None]:
            yield

        steps = Caller(core, fetch, {"connect": 1, "read": 1}).fresh_token()  # type: ignore[arg-type]
        next(steps)
        ring: list[object] = [steps]
        ring.append(ring)

    def call() -> list[str]:
        suspend_a_leader()
        flight = shared._flight
        assert flight is not None
        flight.overdue_at = LONGEST
        first = ask(shared, now=ClockThatCollects(now))
        assert flight.over
        return [type(step).__name__ for step in (first, ask(shared, now=now))]

    gc.disable()
    try:
        assert in_another_thread(call) in (["Fetch", "Wait"], ["Wait", "Fetch"])
    finally:
        gc.enable()


# Forks

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
# Python 3.12 and later warn of what these tests are about.
fork_with_threads = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def in_a_child(function: Callable[[], Any]) -> Any:
    """What *function* gives in a forked child; one that hangs is ended, and the test fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                answer = pickle.dumps(function())
            except BaseException as error:
                answer = pickle.dumps(f"{type(error).__name__}: {error}")
            os.write(writing, answer)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answered, _, _ = select.select([pipe], [], [], LONG / 3)
        if not answered:
            os.kill(child, signal.SIGKILL)
        answer = pipe.read()
    os.waitpid(child, 0)
    assert answered, "the child hangs"
    return pickle.loads(answer)


@needs_fork
@fork_with_threads
def test_a_child_that_was_forked_while_a_thread_held_the_lock_can_lead(shared: SharedToken) -> None:
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with shared._lock:
            held.set()
            forked.wait(LONG)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert held.wait(LONG)
        try:
            steps = in_a_child(lambda: [type(ask(shared)).__name__ for _ in range(2)])
        finally:
            forked.set()
        holding.result(LONG)

    assert steps == ["Fetch", "Wait"]


@needs_fork
@fork_with_threads
def test_a_child_does_not_wait_for_a_flight_of_its_parent(shared: SharedToken) -> None:
    flight = in_another_thread(lambda: lead(shared, blocking=True))

    def child() -> Any:
        own = lead(shared, blocking=True)
        shared.finish(flight, OTHER, now=0)  # of the parent: it must not count here
        before = shared.token
        shared.finish(own, TOKEN, now=0)
        return before, shared.token

    assert in_a_child(child) == (None, TOKEN)
    assert not flight.over
    assert wait(shared, blocking=True) is flight
    shared.finish(flight, TOKEN, now=0)
    assert shared.token is TOKEN


@needs_fork
@fork_with_threads
def test_a_child_goes_on_with_the_token_of_its_parent(renewed: SharedToken) -> None:
    def child() -> Any:
        return renewed.token, ask(renewed), type(ask(renewed, TOKEN)).__name__

    assert in_a_child(child) == (TOKEN, TOKEN, "Fetch")


@needs_fork
@fork_with_threads
def test_a_child_of_a_child_can_lead_too(shared: SharedToken) -> None:
    lead(shared)

    def child() -> Any:
        lead(shared)
        return in_a_child(lambda: type(ask(shared)).__name__)

    assert in_a_child(child) == "Fetch"
