"""Who fetches the shared token, who waits, for how long, and what becomes of those who fail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clock import Clock
from tests.support.processes import fork_with_threads, in_a_child, needs_fork
from tests.support.renewals import LONG, TIMEOUT, Driven, a_rejection, a_renewal, a_thread, renew
from tests.support.token_responses import DOMAIN, SECRET
from thebase_auth._core.errors import TokenRequestError, TokenTimeoutError
from thebase_auth._core.renewal import Renewal
from thebase_auth._core.token import Token

HALF = TIMEOUT / 2
LOST = ConnectionError("no route to host")


# One token request, and all have its token


def test_first_caller_leads_and_all_others_use_its_token(renewal: Renewal) -> None:
    leader, *waiters = (Driven(renewal) for _ in range(4))
    assert leader.is_fetching
    assert all(waiter.waits_for for waiter in waiters)

    leader.go_on(Token("new"))
    for waiter in waiters:
        waiter.go_on()

    assert {caller.result for caller in (leader, *waiters)} == {Token("new")}
    assert sum(caller.fetches for caller in (leader, *waiters)) == 1


def test_rejected_token_is_used_by_others_until_there_is_a_new_one(renewal: Renewal, token: Token) -> None:
    leader, waiter = Driven(renewal, token), Driven(renewal, token)
    assert Driven(renewal).result is token

    leader.go_on(Token("new"))
    waiter.go_on()

    assert waiter.result == leader.result == Token("new")
    assert Driven(renewal, token).result == Token("new")  # a late report costs nothing


def test_waiters_use_the_rejected_token_if_the_server_repeats_it(renewal: Renewal, token: Token) -> None:
    leader, waiter = Driven(renewal, token), Driven(renewal, token)
    leader.go_on(Token(token.access_token))
    waiter.go_on()

    assert waiter.result == token
    assert waiter.fetches == 0


def test_lock_is_free_when_waiters_are_woken(renewal: Renewal) -> None:
    leader, waiter = Driven(renewal), Driven(renewal)
    assert waiter.waits_for is not None
    seen: list[Token | None] = []
    with ThreadPoolExecutor(1) as pool:

        def ask_in_another_thread() -> None:
            seen.append(pool.submit(lambda: Driven(renewal).result).result(LONG))

        waiter.waits_for.wakers.add(ask_in_another_thread)
        leader.go_on(Token("new"))

    assert seen == [Token("new")]


def when_a_caller_is_about_to_lead(
    renewal: Renewal, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]
) -> None:
    """Take *action* once a caller has seen that it may lead, and before it leads."""

    def number() -> int:
        if pending:
            pending.pop()()
        return next(numbers)

    pending, numbers = [action], renewal._flight_numbers
    monkeypatch.setattr(renewal, "_flight_numbers", iter(number, None))


def test_caller_that_is_too_late_to_lead_waits_or_uses_the_token(
    renewal: Renewal, monkeypatch: pytest.MonkeyPatch
) -> None:
    when_a_caller_is_about_to_lead(renewal, monkeypatch, lambda: renew(renewal))
    assert Driven(renewal).result is renewal.token

    renewal.forget()
    when_a_caller_is_about_to_lead(renewal, monkeypatch, lambda: Driven(renewal))
    assert Driven(renewal).waits_for


# Leaders that cannot go on


def test_cancelled_leader_is_replaced_and_the_others_wait_for_the_next(renewal: Renewal) -> None:
    leader, *waiters = (Driven(renewal) for _ in range(3))
    leader.cancel()
    for waiter in waiters:
        waiter.go_on()

    assert [waiter.is_fetching for waiter in waiters] == [True, False]
    waiters[0].go_on(Token("new"))
    waiters[1].go_on()
    assert waiters[1].result == Token("new")


def test_caller_leads_at_once_if_the_leader_cannot_go_on_meanwhile(renewal: Renewal) -> None:
    thread = a_thread()
    first, second = (Driven(renewal, caller=thread) for _ in range(2))

    assert second.is_fetching
    second.go_on(Token("second"))
    first.go_on(Token("first"))
    assert first.result == second.result == Token("second")


def test_waiter_notices_within_a_second_that_its_leader_was_lost(renewal: Renewal) -> None:
    leader = Driven(renewal)
    waiter = Driven(renewal)
    leader.caller.is_lost = lambda: True

    assert waiter.time_out() <= 1
    assert waiter.is_fetching


# Token requests that fail


def test_response_without_a_token_is_shared_and_each_has_its_own_copy(renewal: Renewal) -> None:
    leader, *waiters = (Driven(renewal) for _ in range(3))
    leader.go_on(a_rejection(503, None))
    for waiter in waiters:
        waiter.go_on()

    errors = [caller.error for caller in (leader, *waiters)]
    assert {type(error) for error in errors} == {TokenRequestError}
    assert len({id(error) for error in errors}) == 3
    assert {error.args for error in errors if error} == {a_rejection(503, None).args}
    assert Driven(renewal).is_fetching


def test_lost_leader_does_not_count_as_a_failure(renewal: Renewal, clock: Clock) -> None:
    leader, second, waiter = (Driven(renewal) for _ in range(3))
    leader.caller.is_lost = lambda: True
    second.time_out()
    waiter.go_on()
    second.go_on(LOST)
    waiter.go_on()

    assert waiter.is_fetching, waiter.error


def test_connection_failure_fails_only_its_leader_and_the_next_leads(renewal: Renewal) -> None:
    leader, *waiters = (Driven(renewal) for _ in range(3))
    leader.go_on(LOST)
    for waiter in waiters:
        waiter.go_on()

    assert leader.error is LOST
    assert [waiter.is_fetching for waiter in waiters] == [True, False]


def waiter_that_has_seen(
    renewal: Renewal, *ends: Callable[[Driven], None], timeout: float = TIMEOUT
) -> Driven:
    """Return a waiter whose leaders have all finished so; another caller was always faster to lead."""
    leader, waiter = Driven(renewal, timeout=timeout), Driven(renewal)
    for end in ends:
        end(leader)
        leader = Driven(renewal, timeout=timeout)
        waiter.go_on()
    return waiter


def fail(leader: Driven) -> None:
    leader.go_on(LOST)


def interrupt(leader: Driven) -> None:
    leader.go_on(KeyboardInterrupt())


def close_after(raised: BaseException) -> Callable[[Driven], None]:
    """Return how a client of httpx ends a flow whose request has failed."""

    def close(leader: Driven) -> None:
        try:
            raise raised
        except BaseException:
            leader.cancel()

    return close


def test_waiter_gives_up_after_two_failures_and_says_what_failed(renewal: Renewal) -> None:
    waiter = waiter_that_has_seen(renewal, fail, lambda leader: leader.go_on(TimeoutError(f"sent {SECRET}")))

    assert type(waiter.error) is TokenTimeoutError
    assert waiter.error.domain == DOMAIN
    assert str(waiter.error) == (
        f"no access token from {DOMAIN}: this call waited for token requests of others, and gave up"
        " (ConnectionError: no route to host; TimeoutError: sent [hidden]). Check that its token endpoint is"
        " reachable and responds in time, or give the call a longer timeout."
    )
    assert waiter.fetches == 0


def close_task(leader: Driven) -> None:
    """Close a task's flow, which does not see the exception of its request."""
    leader.caller.is_cancelled = lambda: False
    leader.cancel()


@pytest.mark.parametrize(
    ("close", "reason"),
    [(close_after(LOST), "(ConnectionError: no route to host)"), (close_task, "(the connection failed)")],
)
def test_failed_request_of_a_closed_flow_counts(
    renewal: Renewal, close: Callable[[Driven], None], reason: str
) -> None:
    assert reason in str(waiter_that_has_seen(renewal, close, close).error)


@pytest.mark.parametrize("end", [Driven.cancel, interrupt, close_after(KeyboardInterrupt())])
def test_cancelled_leaders_never_count_as_failures(renewal: Renewal, end: Callable[[Driven], None]) -> None:
    assert waiter_that_has_seen(renewal, fail, end, end, end).waits_for


def test_failures_of_leaders_with_shorter_timeouts_do_not_count(renewal: Renewal) -> None:
    assert waiter_that_has_seen(renewal, fail, fail, fail, timeout=HALF).waits_for
    assert waiter_that_has_seen(a_renewal(), fail, fail, timeout=2 * TIMEOUT).error


# Timeouts


def test_waiter_waits_half_of_its_timeout_for_one_leader_and_then_leads(renewal: Renewal) -> None:
    leader, waiter = Driven(renewal, timeout=10 * TIMEOUT), Driven(renewal)

    assert waiter.time_out() == HALF
    assert waiter.is_fetching
    assert leader.is_fetching


def test_waiting_for_half_of_the_timeout_counts_as_a_failure(renewal: Renewal, clock: Clock) -> None:
    waiter = waiter_that_has_seen(renewal, fail)

    assert waiter.time_out() == HALF
    assert type(waiter.error) is TokenTimeoutError
    assert f"no route to host; one took more than {HALF:g} seconds" in str(waiter.error)


def test_waiter_gives_up_after_its_whole_timeout(
    renewal: Renewal, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    Driven(renewal)
    waiter, faster = Driven(renewal), Driven(renewal)
    when_a_caller_is_about_to_lead(renewal, monkeypatch, faster.time_out)

    assert waiter.time_out() == HALF
    assert waiter.waits_for
    assert waiter.time_out() == HALF
    assert type(waiter.error) is TokenTimeoutError
    assert waiter.fetches == 0


def test_waiter_of_cancelled_leaders_leads_after_its_timeout(renewal: Renewal, clock: Clock) -> None:
    leader, waiter, waited = Driven(renewal), Driven(renewal), 0
    while waiter.waits_for:
        was_woken = waiter.waits_for.done
        waiter.go_on()  # a second later, unless it was woken
        if not was_woken:
            waited += 1
            if waited % 3 == 0:
                leader.cancel()
                leader = Driven(renewal)

    assert waiter.is_fetching
    assert HALF <= waited <= TIMEOUT


def test_next_leader_is_waited_for_half_of_the_timeout_again(renewal: Renewal, clock: Clock) -> None:
    Driven(renewal)
    early = Driven(renewal)
    early.go_on()
    late = Driven(renewal)
    late.go_on()
    early.time_out()
    clock.now += 1
    late.go_on()  # it has waited two seconds for the first leader

    assert late.time_out() == HALF


def test_waiters_with_different_timeouts_do_not_lead_one_after_the_other(
    renewal: Renewal, clock: Clock
) -> None:
    leader, *waiters = (Driven(renewal, timeout=TIMEOUT + number / 100) for number in range(20))
    for _ in range(12):
        clock.now += 1
        for waiter in waiters:
            if waiter.waits_for is not None:
                waiter.go_on()
    assert leader.is_fetching
    assert sum(waiter.fetches for waiter in waiters) <= 2
    assert sum(type(waiter.error) is TokenTimeoutError for waiter in waiters) >= 17


# Tokens that arrive late


@pytest.fixture
def passed_over(renewal: Renewal) -> Driven:
    """A leader that is too slow for the `successor`, which leads now too."""
    return Driven(renewal)


@pytest.fixture
def successor(renewal: Renewal, passed_over: Driven) -> Driven:
    waiter = Driven(renewal)
    waiter.time_out()
    assert passed_over.is_fetching
    assert waiter.is_fetching
    return waiter


def test_late_token_is_used_and_wakes_everyone(
    renewal: Renewal, passed_over: Driven, successor: Driven
) -> None:
    waiter = Driven(renewal)
    passed_over.go_on(Token("late"))
    waiter.go_on()

    assert passed_over.result == waiter.result == Driven(renewal).result == Token("late")
    successor.go_on(Token("newest"))
    assert successor.result == renewal.token == Token("newest")


def test_late_token_does_not_replace_a_newer_one(
    renewal: Renewal, passed_over: Driven, successor: Driven
) -> None:
    successor.go_on(Token("newest"))
    passed_over.go_on(Token("late"))

    assert passed_over.result == renewal.token == Token("newest")
    assert renewal.token_in("Bearer late")  # it is known as ours


@pytest.mark.parametrize("failure", [LOST, a_rejection()])
def test_successor_that_fails_uses_the_late_token(
    passed_over: Driven, successor: Driven, failure: Exception
) -> None:
    passed_over.go_on(Token("late"))
    successor.go_on(failure)

    assert successor.result == Token("late")


def test_waiters_of_a_leader_that_is_passed_over_wait_for_its_successor(renewal: Renewal) -> None:
    Driven(renewal)
    successor, waiter = Driven(renewal), Driven(renewal, timeout=10 * TIMEOUT)
    woken: list[bool] = []
    assert waiter.waits_for is not None
    waiter.waits_for.wakers.add(lambda: woken.append(True))
    successor.time_out()
    assert woken
    waiter.go_on()
    successor.go_on(Token("new"))
    waiter.go_on()

    assert waiter.result == Token("new")


@pytest.mark.parametrize("end", [fail, interrupt, Driven.cancel])
def test_leader_that_was_passed_over_ends_no_other_flight(
    renewal: Renewal, passed_over: Driven, successor: Driven, end: Callable[[Driven], None]
) -> None:
    waiter = Driven(renewal)
    end(passed_over)
    waiter.go_on()
    assert waiter.waits_for
    successor.go_on(Token("new"))
    waiter.go_on()

    assert waiter.result == Token("new")


def test_leader_that_was_passed_over_and_fails_uses_a_newer_token(
    passed_over: Driven, successor: Driven
) -> None:
    successor.go_on(Token("newest"))
    passed_over.go_on(LOST)

    assert passed_over.result == Token("newest")


def test_waiter_uses_a_late_token_although_its_own_leader_fails(
    renewal: Renewal, passed_over: Driven, successor: Driven
) -> None:
    waiter = Driven(renewal)
    passed_over.go_on(Token("late"))
    successor.go_on(a_rejection())
    waiter.go_on()  # it was woken by the token, and is slow

    assert waiter.result == Token("late"), waiter.error


# Forks


@needs_fork
@fork_with_threads
def test_forked_child_waits_for_no_thread_that_it_does_not_have(renewal: Renewal) -> None:
    """One thread of the parent leads, another holds the lock."""
    leader = Driven(renewal)
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with renewal._lock:
            held.set()
            forked.wait(LONG)

    def child() -> bool:
        own = Driven(renewal)
        return own.is_fetching and in_a_child(lambda: Driven(renewal).is_fetching)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        assert held.wait(LONG)
        try:
            assert in_a_child(child)
        finally:
            forked.set()
    leader.go_on(Token("of the parent"))
    assert renewal.token == "of the parent"
