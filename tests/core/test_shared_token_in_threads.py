"""The shared token among real threads, and in a child that was forked."""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.renewals import (
    LEADS,
    LEASE,
    LONG,
    OTHER,
    TOKEN,
    USERS,
    ask,
    in_another_thread,
    lead,
    wait,
)
from thebase_auth._renewal import Flight, Lead, Renewal, Wait
from thebase_auth._token import Token

# Threads


def test_a_thousand_threads_that_ask_at_once_have_one_leader_and_its_token(
    renewal: Renewal,
) -> None:
    count = 1000
    about_to_ask, asked = threading.Barrier(count), threading.Barrier(count)

    def call() -> tuple[bool, Token | None]:
        about_to_ask.wait(LONG)
        answer = ask(renewal, blocking=True)
        asked.wait(LONG)
        assert isinstance(answer, (Lead, Wait))
        flight = answer.flight
        if isinstance(answer, Lead):
            return True, flight.land(TOKEN)
        flight.landed.result(LONG)
        return False, flight.outcome()

    with ThreadPoolExecutor(count) as pool:
        results = [one.result(LONG) for one in [pool.submit(call) for _ in range(count)]]

    assert sorted(results, key=lambda result: result[0]) == [(False, TOKEN)] * 999 + [(True, TOKEN)]


def test_threads_whose_leaders_vanish_all_get_the_token_of_the_first_that_stays(
    renewal: Renewal,
) -> None:
    count, vanishing = 50, 20
    about_to_ask = threading.Barrier(count)
    leaders: list[Flight] = []

    def call() -> Token:
        about_to_ask.wait(LONG)
        while True:
            match ask(renewal, blocking=True):
                case Lead() as leader:
                    with leader.flight as flight:
                        leaders.append(flight)
                        if len(leaders) > vanishing:
                            return flight.land(TOKEN)
                case Wait(flight):
                    flight.landed.result(LONG)
                    token = renewal.landed(flight, None)
                    if token is not None:
                        return token
                case Token() as token:
                    return token

    with ThreadPoolExecutor(count) as pool:
        results = [one.result(LONG) for one in [pool.submit(call) for _ in range(count)]]

    assert results == [TOKEN] * count
    assert len(leaders) == vanishing + 1


def test_the_token_is_read_without_the_lock(renewed: Renewal) -> None:
    with renewed._lock:
        assert in_another_thread(lambda: renewed.token) is TOKEN


def test_a_renewal_that_nobody_uses_is_freed() -> None:
    renewal = Renewal()
    lead(renewal)
    freed = weakref.ref(renewal)
    del renewal
    gc.collect()

    assert freed() is None


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


def kinds_of(*answers: object) -> list[str]:
    return [type(answer).__name__ for answer in answers]


@needs_fork
@fork_with_threads
def test_a_child_that_was_forked_while_a_thread_held_the_lock_can_lead(renewal: Renewal) -> None:
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with renewal._lock:
            held.set()
            forked.wait(LONG)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert held.wait(LONG)
        try:
            kinds = in_a_child(lambda: kinds_of(ask(renewal), ask(renewal)))
        finally:
            forked.set()
        holding.result(LONG)

    assert kinds == ["Lead", "Wait"]


@needs_fork
@fork_with_threads
def test_a_child_does_not_wait_for_a_flight_of_its_parent(renewal: Renewal) -> None:
    flight = in_another_thread(lambda: lead(renewal, blocking=True))

    def child() -> tuple[str, Any, Any]:
        own = lead(renewal, blocking=True)
        flight.land(OTHER)  # of the parent: it must not count here
        before = renewal.token
        own.land(TOKEN)
        return (type(own).__name__, before, renewal.token and renewal.token.access_token)

    assert in_a_child(child) == ("Flight", None, "abc")
    assert not flight.landed.done()
    assert wait(renewal, blocking=True) is flight
    flight.land(TOKEN)
    assert renewal.token is TOKEN


@needs_fork
@fork_with_threads
def test_a_child_goes_on_with_the_token_of_its_parent(renewed: Renewal) -> None:
    assert in_a_child(lambda: renewed.token and str(renewed.token.access_token)) == "abc"
    assert in_a_child(lambda: type(ask(renewed)).__name__) == "Token"
    assert in_a_child(lambda: type(ask(renewed, "abc")).__name__) == "Lead"


@needs_fork
@fork_with_threads
def test_a_child_of_a_child_can_lead_too(renewal: Renewal) -> None:
    lead(renewal)

    def child() -> Any:
        lead(renewal)
        return in_a_child(lambda: type(ask(renewal)).__name__)

    assert in_a_child(child) == "Lead"


class ClockThatCollects(float):
    """A time that makes the garbage collector run while it is compared, so inside of ask()."""

    def __ge__(self, other: float) -> bool:
        gc.collect()
        return super().__ge__(other)


@needs_fork
@fork_with_threads
@pytest.mark.parametrize("now", [1.0, LEASE], ids=["who waits", "who deposes"])
def test_a_flow_that_is_collected_while_another_caller_asks_stops_nobody(
    renewal: Renewal, now: float
) -> None:
    # The collector may run at any allocation, also of a caller that holds the lock, and then closes
    # suspended flows that nobody refers to any more: those of a loop that ended with tasks pending.
    def flow() -> Iterator[None]:
        with lead(renewal):
            yield

    def abandon() -> None:
        suspended = flow()
        next(suspended)
        ring: list[object] = [suspended]
        ring.append(ring)

    def child() -> list[str]:
        gc.disable()
        abandon()
        first = ask(renewal, now=ClockThatCollects(now))
        if isinstance(first, Wait):
            first.flight.landed.result(timeout=0)
        return kinds_of(first, ask(renewal, now=now))

    # In a child, because a collector that hangs hangs for the whole process.
    assert in_a_child(child) in (["Lead", "Wait"], ["Wait", "Lead"])


def test_a_401_in_the_pause_is_final_unless_another_caller_is_fetching_a_token() -> None:
    renewal = Renewal()
    lead(renewal).land(TOKEN, now=0)
    lead(renewal, TOKEN.access_token, LEADS).land(OTHER, now=1)
    refused = OTHER.access_token
    assert renewal.is_final(refused, LEADS, now=1.5)
    flight = lead(renewal, refused, USERS, now=1.5)
    assert not renewal.is_final(refused, LEADS, now=1.5)
    flight.vanish()
    assert renewal.is_final(refused, LEADS, now=1.5)
    assert not renewal.is_final(refused, USERS, now=1.5)
    assert not renewal.is_final(TOKEN.access_token, LEADS, now=1.5)
