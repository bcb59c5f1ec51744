"""Whom an event wakes, who can wait for whom, and how a wait is counted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.renewals import LONG, a_task, a_thread
from thebase_auth._core.flight import Caller, Event, Flight, Wait, wait_for


def test_finished_event_wakes_each_waiter_once() -> None:
    event, woken = Event(), list[bool]()
    for _ in range(3):
        event.wakers.add(lambda: woken.append(event.done))
    event.finish()
    event.finish()

    assert woken == [True] * 3


def test_event_whose_finishing_was_interrupted_can_be_finished_again() -> None:
    def interrupt() -> None:
        event.wakers.add(lambda: woken.append("other"))
        raise KeyboardInterrupt

    event, woken = Event(), list[str]()
    event.wakers.add(interrupt)
    with pytest.raises(KeyboardInterrupt):
        event.finish()
    event.finish()

    assert woken == ["other"]


def test_event_may_be_finished_by_several_threads() -> None:
    class TakenMeanwhile(set[Any]):
        def pop(self) -> Any:
            self.clear()  # as another thread does between two lines
            return super().pop()

    event = Event()
    event.wakers = TakenMeanwhile([print])
    event.finish()

    assert event.done


def lost_task() -> Caller:
    caller = a_thread()
    caller.is_lost = lambda: True
    return caller


TASK, THREAD = a_task(), Caller()


@pytest.mark.parametrize(
    ("leader", "waiter", "can_go_on"),
    [
        pytest.param(TASK, a_task(), True, id="tasks of one loop"),
        pytest.param(TASK, TASK, False, id="one task"),
        pytest.param(TASK, a_task(object()), False, id="two loops of one thread"),
        pytest.param(TASK, THREAD, False, id="a thread that blocks the loop"),
        pytest.param(THREAD, TASK, False, id="a task of a thread that is blocked"),
        pytest.param(THREAD, THREAD, False, id="one thread"),
        pytest.param(a_thread(), THREAD, True, id="two threads"),
        pytest.param(TASK, a_thread(), True, id="a task and another thread"),
        pytest.param(lost_task(), THREAD, False, id="a lost task of another thread"),
    ],
)
def test_leader_can_go_on_while_others_wait_unless_they_block_it(
    leader: Caller, waiter: Caller, can_go_on: bool
) -> None:
    assert leader.can_go_on_while_waiting(waiter) == can_go_on


def caller_with(timeout: float, shortest_timeout: float) -> Caller:
    caller = a_thread()
    caller.timeout, caller.shortest_timeout = timeout, shortest_timeout
    return caller


@pytest.mark.parametrize(
    ("timeout", "shortest", "counts"),
    [(8.0, 2.0, True), (7.0, 1.0, True), (9.0, 2.0, False), (8.0, 3.0, False)],
)
def test_failure_counts_only_for_callers_that_have_no_more_time(
    timeout: float, shortest: float, counts: bool
) -> None:
    flight = Flight(1, caller_with(8.0, 2.0))
    flight.fail("lost", flight.leader)

    assert flight.failure_for(caller_with(timeout, shortest)) == ("lost" if counts else None)


@pytest.mark.parametrize("is_done", [False, True])
def test_slow_flight_is_a_failure_unless_it_is_done(is_done: bool) -> None:
    flight, waiter = Flight(1, a_thread()), caller_with(8.0, 8.0)
    if is_done:
        flight.finish()
    flight.fail_if_slow(waiter, waited=3.9)
    assert flight.failure_for(waiter) is None
    flight.fail_if_slow(waiter, waited=4.0)
    assert flight.failure_for(waiter) == (None if is_done else "one took more than 4 seconds")


def steps_of(event: Event, seconds: float, clock: Clock, *, done_after: int) -> tuple[list[float], float]:
    """Return the steps of a wait, each of which takes 0.25 seconds by the clock, and its result."""
    waiting, steps = wait_for(event, seconds), list[float]()
    try:
        while True:
            step = next(waiting)
            assert isinstance(step, Wait)
            steps.append(step.seconds)
            clock.now += 0.25
            if len(steps) == done_after:
                event.finish()
    except StopIteration as end:
        return steps, end.value


@pytest.mark.parametrize(
    ("seconds", "done_after", "steps", "waited"),
    [(2.5, 9, [1, 1, 0.5], 2.5), (2.5, 2, [1, 1], 1.25), (0.1, 1, [0.1], 0.1), (0, 9, [], 0), (-1, 9, [], 0)],
)
def test_wait_looks_again_each_second_and_counts_its_steps(
    clock: Clock, seconds: float, done_after: int, steps: list[float], waited: float
) -> None:
    assert steps_of(Event(), seconds, clock, done_after=done_after) == (steps, waited)


def test_wait_ends_when_it_is_not_worthwhile() -> None:
    waiting = wait_for(Event(), LONG, iter([True, False]).__next__)

    assert next(waiting).seconds == 1
    with pytest.raises(StopIteration):
        next(waiting)
