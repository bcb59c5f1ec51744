"""However many callers ask, one of them fetches the token, and none of the others is left waiting."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import deque
from functools import partial
from typing import Any

import pytest

from tests.support.shared_tokens import (
    ELSEWHERE,
    LONGEST,
    ONE,
    OTHER,
    OTHER_TASK,
    TOKEN,
    a_task,
    an_error,
    ask,
    in_another_thread,
    lead,
    renew,
    wait,
)
from thebase_auth._core.pending import Pending, Task
from thebase_auth._core.shared_token import Fetch, Flight, SharedToken, Wait, copied
from thebase_auth._core.token import Token

NEWER = Token("ghi")

# Who leads and who waits


def test_the_first_to_ask_leads_and_the_others_wait_for_its_flight(shared: SharedToken) -> None:
    flight = lead(shared)

    assert wait(shared) is wait(shared) is flight
    assert not flight.over


def test_a_token_is_given_to_whoever_asks(renewed: SharedToken) -> None:
    assert renewed.token is TOKEN
    assert ask(renewed) is TOKEN
    assert ask(renewed, Token("older")) is TOKEN


def test_a_refused_token_is_not_given_but_stays_in_use_until_there_is_another(renewed: SharedToken) -> None:
    flight = lead(renewed, TOKEN)
    assert wait(renewed, Token("abc")) is flight
    assert renewed.token is TOKEN
    assert ask(renewed) is ask(renewed, Token("older")) is TOKEN

    assert renewed.finish(flight, OTHER, now=0) is OTHER
    assert renewed.token is OTHER
    assert ask(renewed, TOKEN) is OTHER


def test_a_server_that_gives_the_refused_token_again_is_asked_again(renewed: SharedToken) -> None:
    renew(renewed, Token("abc"), TOKEN)

    lead(renewed, TOKEN)


# How a flight ends


def test_a_token_is_that_of_all_who_wait(shared: SharedToken) -> None:
    flight = lead(shared)
    waiting = wait(shared)
    shared.finish(flight, TOKEN, now=0)

    assert waiting.over
    assert waiting.token is shared.token is ask(shared) is TOKEN
    assert waiting.failure is None


def test_a_failure_is_that_of_all_who_wait_and_of_nobody_after_them(shared: SharedToken) -> None:
    flight, error = lead(shared), an_error()
    waiting = wait(shared)
    shared.abandon(flight, error)

    assert waiting.over
    assert waiting.failure is error
    assert waiting.token is shared.token is None
    assert lead(shared) is not flight


def test_an_abandoned_flight_wakes_all_and_whoever_asks_first_leads(shared: SharedToken) -> None:
    flight = lead(shared)
    woken: list[str] = []
    for name in ("one", "another"):
        wait(shared).wakers.append(partial(woken.append, name))
    shared.abandon(flight)

    assert woken == ["one", "another"]
    assert flight.over
    assert (flight.token, flight.failure) == (None, None)
    successor = lead(shared)
    assert successor is not flight
    assert wait(shared) is successor


@pytest.mark.parametrize("first", ["finish", "fail", "abandon"])
def test_what_ends_a_flight_first_counts(shared: SharedToken, first: str) -> None:
    def end(how: str, token: Token, error: Exception) -> None:
        match how:
            case "finish":
                shared.finish(flight, token, now=0)
            case "fail":
                shared.abandon(flight, error)
            case _:
                shared.abandon(flight)

    flight, error = lead(shared), an_error()
    end(first, TOKEN, error)
    ended = (flight.token, flight.failure, shared.token)
    successor = None if first == "finish" else lead(shared)
    for how in ("finish", "fail", "abandon"):
        end(how, OTHER, an_error())

    assert (flight.token, flight.failure, shared.token) == ended
    assert ended == {
        "finish": (TOKEN, None, TOKEN),
        "fail": (None, error, None),
        "abandon": (None, None, None),
    }[first]  # fmt: skip
    assert successor is None or wait(shared) is successor


def test_waiters_are_woken_when_all_can_see_the_result_and_no_lock_is_held(shared: SharedToken) -> None:
    flight = lead(shared)
    seen: list[object] = []
    # From another thread: a lock that its own thread may take again would not be noticed.
    flight.wakers.append(lambda: seen.append(in_another_thread(lambda: ask(shared))))
    flight.wakers.append(lambda: in_another_thread(lambda: shared.drop(Token("x"))))
    shared.finish(flight, TOKEN, now=0)

    assert seen == [TOKEN]


def test_an_end_that_was_interrupted_can_be_made_again() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    pending, woken = Pending(), []
    pending.wakers += [interrupted, lambda: woken.append("the other")]
    with pytest.raises(KeyboardInterrupt):
        pending.end()
    assert pending.over
    assert not pending.is_lost()
    assert woken == []

    pending.end()
    assert woken == ["the other"]


def test_two_threads_may_end_the_same() -> None:
    class TakenMeanwhile(deque[Any]):
        def __bool__(self) -> bool:
            return True

    pending = Pending()
    pending.wakers = TakenMeanwhile()
    pending.end()

    assert pending.over


# Leaders that cannot be waited for


@pytest.mark.parametrize(
    ("leader", "asker", "waits"),
    [
        pytest.param(ONE, OTHER_TASK, True, id="two tasks of one loop"),
        pytest.param(ONE, ONE, False, id="a task that asks within its own token request"),
        pytest.param(ONE, None, False, id="a call that blocks the loop of the leader"),
        pytest.param(ONE, ELSEWHERE, False, id="a task of a loop inside of the leader's"),
        pytest.param(None, ONE, False, id="a task of a loop inside of a blocking call"),
        pytest.param(None, None, False, id="a call inside of a blocking call"),
    ],
)
def test_within_one_thread_only_a_task_waits_for_another_task_of_its_loop(
    shared: SharedToken, leader: Task | None, asker: Task | None, waits: bool
) -> None:
    first = shared.ask(None, None, 0, longest=LONGEST, task=leader)
    second = shared.ask(None, None, 0, longest=LONGEST, task=asker)

    assert isinstance(first, Fetch)
    if waits:
        assert second == Wait(first.flight)
    else:
        assert isinstance(second, Fetch)
        assert second.superseded is first.flight


@pytest.mark.parametrize("leader_blocks", [False, True])
@pytest.mark.parametrize("asker_blocks", [False, True])
def test_between_threads_everyone_waits(shared: SharedToken, leader_blocks: bool, asker_blocks: bool) -> None:
    flight = in_another_thread(lambda: lead(shared, blocking=leader_blocks))

    assert wait(shared, blocking=asker_blocks) is flight


def test_a_leader_is_overdue_when_its_own_lease_is_over(shared: SharedToken) -> None:
    first = shared.ask(None, None, 100, longest=5, task=a_task())

    assert isinstance(first, Fetch)
    assert isinstance(shared.ask(None, None, 104.999, longest=1, task=a_task()), Wait)
    late = shared.ask(None, None, 105, longest=1000, task=a_task())
    assert isinstance(late, Fetch)
    assert late.superseded is first.flight


def test_a_flight_is_lost_until_its_leader_has_begun() -> None:
    flight = Flight(None, LONGEST, None)
    assert flight.is_lost()

    flight.begun = True
    assert not flight.is_lost()


def test_a_flight_is_lost_when_the_loop_of_its_leader_has_stopped() -> None:
    gone: list[bool] = []
    flight = Flight(None, LONGEST, Task(object(), object(), lambda: bool(gone)))
    flight.begun = True
    assert not flight.is_lost()

    gone.append(True)
    assert flight.is_lost()


# Superseded flights


def test_a_caller_supersedes_the_flight_that_it_names_and_no_other(shared: SharedToken) -> None:
    first = lead(shared)
    step = ask(shared, given_up=first)
    assert isinstance(step, Fetch)
    assert step.superseded is first
    assert first.over  # also for those whom nobody wakes
    second = step.flight
    assert (first.token, first.failure) == (None, None)

    assert wait(shared, given_up=first) is second
    assert not second.over


@pytest.fixture
def flights(shared: SharedToken) -> tuple[Flight, Flight]:
    """A superseded one, and the one that took its place."""
    old = lead(shared)
    return old, lead(shared, given_up=old)


def test_what_a_superseded_leader_fetches_serves_its_own_caller_only(
    shared: SharedToken, flights: tuple[Flight, Flight]
) -> None:
    old, new = flights
    assert shared.finish(old, TOKEN, now=0) is TOKEN
    assert shared.token is old.token is None
    assert shared.token_in(TOKEN.authorization) is TOKEN  # its 401 has to be recognised
    assert not shared.is_former(TOKEN)  # a cache may have it, for the others
    assert wait(shared) is new

    shared.finish(new, OTHER, now=0)
    shared.finish(old, NEWER, now=0)
    assert shared.token is OTHER


def test_the_failure_of_a_superseded_leader_is_its_own(
    shared: SharedToken, flights: tuple[Flight, Flight]
) -> None:
    old, new = flights
    shared.abandon(old, an_error())
    shared.abandon(old)

    assert old.failure is None
    assert wait(shared) is new


# Tokens in use and former ones


def test_a_token_is_known_by_the_header_that_carries_it(renewed: SharedToken) -> None:
    assert renewed.token_in("Bearer abc") is TOKEN
    renew(renewed, OTHER, TOKEN)
    assert renewed.token_in("Bearer abc") is TOKEN
    assert renewed.token_in("Bearer def") is OTHER

    for foreign in ("", "Bearer ", "abc", "bearer abc", "Basic abc", "Bearer abcd"):
        assert renewed.token_in(foreign) is None


def test_a_token_that_was_refused_dropped_or_replaced_is_a_former_one(renewed: SharedToken) -> None:
    assert not renewed.is_former(TOKEN)
    ask(renewed, Token("refused"))
    assert renewed.is_former(Token("refused"))

    renewed.drop(TOKEN)
    assert renewed.is_former(Token("abc"))
    renew(renewed, OTHER)
    assert not renewed.is_former(OTHER)
    flight = lead(renewed, Token("def"))
    for number in range(16):
        ask(renewed, Token(f"foreign-{number}"))
    renewed.finish(flight, NEWER, now=0)
    assert renewed.is_former(OTHER)


def test_a_token_is_older_if_another_was_in_use_when_it_was_sent_and_still_is(shared: SharedToken) -> None:
    assert not shared.was_replaced_before(TOKEN, 100)
    renew(shared, TOKEN, now=5)
    assert not shared.was_replaced_before(TOKEN, 100)
    renew(shared, OTHER, TOKEN, now=10)

    assert [shared.was_replaced_before(TOKEN, sent_at) for sent_at in (7, 10, 10.5)] == [False, False, True]
    assert not shared.was_replaced_before(OTHER, 100)
    shared.forget()
    assert not shared.was_replaced_before(TOKEN, 100)


def test_a_token_that_the_server_gives_once_more_is_no_former_one(renewed: SharedToken) -> None:
    renewed.forget()
    assert renewed.is_former(TOKEN)

    renew(renewed, Token(TOKEN.access_token))
    assert not renewed.is_former(TOKEN)


def test_the_last_256_former_tokens_are_remembered(shared: SharedToken) -> None:
    tokens = [Token(f"token-{number}") for number in range(260)]
    for token in tokens:
        ask(shared, token)
        ask(shared, token)  # of two callers with the same one

    assert [shared.is_former(token) for token in tokens] == [False] * 4 + [True] * 256
    assert [bool(shared.token_in(token.authorization)) for token in tokens] == [False] * 4 + [True] * 256


def test_a_token_is_dropped_only_while_it_is_in_use(renewed: SharedToken) -> None:
    renewed.drop(OTHER)
    assert renewed.token is TOKEN
    assert renewed.is_former(OTHER)

    renewed.drop(TOKEN)
    assert renewed.token is None
    lead(renewed)


def test_forgetting_drops_the_token_and_ends_no_flight(renewed: SharedToken) -> None:
    flight = lead(renewed, TOKEN)
    renewed.forget()
    assert renewed.token is None
    assert renewed.is_former(TOKEN)

    assert wait(renewed) is flight
    renewed.finish(flight, OTHER, now=0)
    assert renewed.token is OTHER
    renewed.forget()
    renewed.forget()
    assert renewed.token is None


def test_a_question_changes_nothing(renewed: SharedToken) -> None:
    before = copy.copy(vars(renewed))
    renewed.token_in("Bearer x")
    renewed.is_former(OTHER)
    renewed.error_during_pause(0)

    assert vars(renewed) == before


def test_a_shared_token_that_nobody_uses_is_freed() -> None:
    shared = SharedToken()
    lead(shared)
    freed = weakref.ref(shared)
    del shared
    gc.collect()

    assert freed() is None


# Failures that many raise


def test_everyone_has_a_copy_of_the_failure() -> None:
    with pytest.raises(type(an_error())) as caught:
        raise an_error(retry_after=7.0)
    again = copied(caught.value)

    assert again is not caught.value
    assert pickle.dumps(again) == pickle.dumps(caught.value)
    assert again.__traceback__ is None


def test_a_failure_that_cannot_be_copied_is_shared_as_it_is() -> None:
    class UncopiedError(Exception):
        def __copy__(self) -> Any:
            raise ValueError

    class CopiedAsTextError(Exception):
        def __copy__(self) -> Any:
            return "text"

    for failure in (UncopiedError(), CopiedAsTextError()):
        assert copied(failure) is failure
