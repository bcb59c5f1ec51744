"""However many callers ask, one of them fetches the token, and none of the others is stranded."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import select
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from tests.support.renewals import (
    ELSEWHERE,
    LEADS,
    LEASE,
    LONG,
    ONE,
    OTHER,
    OTHER_TASK,
    TOKEN,
    USERS,
    a_task,
    an_error,
    ask,
    lead,
    led,
    wait,
)
from thebase_auth._errors import TokenRequestError
from thebase_auth._renewal import Flight, KeepRefusal, Lead, Renewal, Task, Wait
from thebase_auth._token import Token

Result = TypeVar("Result")


def in_another_thread(function: Callable[[], Result]) -> Result:
    """What *function* gives in a thread of its own; one that is stuck is left behind."""
    result: Future[Result] = Future()

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result.result(LONG / 3)


@pytest.fixture
def renewal() -> Renewal:
    return Renewal()


@pytest.fixture
def renewed(renewal: Renewal) -> Renewal:
    lead(renewal).land(TOKEN)
    return renewal


# Who leads and who waits


def test_the_first_to_ask_leads_and_the_others_wait_for_its_flight(renewal: Renewal) -> None:
    flight = lead(renewal)

    assert wait(renewal) is flight
    assert wait(renewal) is flight
    assert not flight.landed.done()


def test_a_token_is_given_to_whoever_asks(renewed: Renewal) -> None:
    assert renewed.token is TOKEN
    assert ask(renewed) is TOKEN
    assert ask(renewed, "refused") is TOKEN


def test_a_refused_token_is_not_given(renewed: Renewal) -> None:
    flight = lead(renewed, "abc")

    assert wait(renewed, "abc") is flight


def test_a_token_that_was_not_refused_is_given_while_another_is_fetched(renewed: Renewal) -> None:
    lead(renewed, "abc")

    assert ask(renewed, "older") is TOKEN
    assert ask(renewed, None) is TOKEN


def test_the_token_stays_in_use_until_another_one_lands(renewed: Renewal) -> None:
    flight = lead(renewed, "abc")
    assert renewed.token is TOKEN

    assert flight.land(OTHER) is OTHER
    assert renewed.token is OTHER
    assert ask(renewed, "abc") is OTHER


def test_a_server_that_gives_the_refused_token_again_is_asked_again(renewed: Renewal) -> None:
    lead(renewed, "abc").land(Token("abc"))

    lead(renewed, "abc")


# How a flight ends


def test_a_landed_token_is_that_of_all_who_wait(renewal: Renewal) -> None:
    flight = lead(renewal)
    waiting = wait(renewal)
    flight.land(TOKEN)

    assert flight.outcome() is waiting.outcome() is renewal.token is TOKEN
    assert ask(renewal) is TOKEN


def test_a_failure_is_shared_by_all_who_wait_and_by_nobody_after_them(renewal: Renewal) -> None:
    flight = lead(renewal)
    waiting = wait(renewal)
    with pytest.raises(TokenRequestError), flight:
        raise an_error()

    with pytest.raises(TokenRequestError):
        waiting.outcome()
    assert renewal.token is None
    assert lead(renewal) is not flight


def test_everyone_has_an_instance_of_the_failure_of_their_own(renewal: Renewal) -> None:
    flight, error = lead(renewal), an_error()
    with pytest.raises(TokenRequestError) as leaders, flight:
        raise error
    assert leaders.value is error

    seen: list[TokenRequestError] = [error]
    for _ in range(3):
        with pytest.raises(TokenRequestError) as caught:
            flight.outcome()
        seen.append(caught.value)

    assert len({id(one) for one in seen}) == 4
    assert len({id(one.__traceback__) for one in seen}) == 4
    for one in seen:
        assert str(one) == "no"
        assert one.evidence == error.evidence


def test_a_failure_leaves_the_token_that_was_in_use(renewed: Renewal) -> None:
    with pytest.raises(TokenRequestError), lead(renewed, "abc"):
        raise an_error()

    assert renewed.token is TOKEN
    assert ask(renewed) is TOKEN


@pytest.mark.parametrize(
    "vanishing",
    [
        ConnectionError,
        KeyboardInterrupt,
        GeneratorExit,
        asyncio.CancelledError,
        SystemExit,
        ValueError,
    ],
)
def test_a_leader_that_vanishes_is_succeeded_by_the_first_waiter_that_asks(
    renewal: Renewal, vanishing: type[BaseException]
) -> None:
    flight = lead(renewal)
    waiting = [wait(renewal), wait(renewal)]
    with pytest.raises(vanishing), flight:
        raise vanishing

    assert [one.outcome() for one in waiting] == [None, None]
    successor = lead(renewal)
    assert successor is not flight
    assert wait(renewal) is successor


def test_a_leader_that_leaves_without_a_word_has_vanished(renewal: Renewal) -> None:
    with lead(renewal) as flight:
        pass

    assert flight.outcome() is None
    lead(renewal)


def test_a_leader_that_never_began_has_vanished(renewal: Renewal) -> None:
    # An interrupt may strike between the answer and the with block.
    answer = ask(renewal)
    waiting = wait(renewal)
    del answer
    gc.collect()

    assert waiting.outcome() is None
    lead(renewal)


def test_a_leader_that_is_forgotten_after_its_landing_changes_nothing(renewal: Renewal) -> None:
    answer = ask(renewal)
    waiting = wait(renewal)
    assert isinstance(answer, Lead)
    answer.flight.land(TOKEN)
    del answer
    gc.collect()

    assert waiting.outcome() is TOKEN
    assert renewal.token is TOKEN


def test_who_has_waited_goes_on_with_what_the_flight_brought(renewal: Renewal) -> None:
    flight = lead(renewal)
    flight.land(TOKEN)

    assert renewal.landed(flight, None) is TOKEN
    assert renewal.landed(flight, "refused") is TOKEN


def test_who_has_waited_goes_on_with_a_newer_token_if_there_is_one(renewal: Renewal) -> None:
    flight = lead(renewal)
    flight.land(TOKEN)
    lead(renewal, "abc").land(OTHER)

    assert renewal.landed(flight, None) is OTHER


def test_who_has_waited_does_not_go_on_with_a_newer_token_that_was_refused(
    renewal: Renewal,
) -> None:
    flight = lead(renewal)
    flight.land(TOKEN)
    lead(renewal, "abc").land(OTHER)

    assert renewal.landed(flight, "def") is TOKEN


def test_who_has_waited_goes_on_with_what_the_flight_brought_where_that_was_dropped(
    renewal: Renewal,
) -> None:
    flight = lead(renewal)
    flight.land(TOKEN)
    renewal.drop()

    assert renewal.landed(flight, None) is TOKEN


def test_who_has_waited_in_vain_has_to_ask_again(renewal: Renewal) -> None:
    with lead(renewal) as vanished:
        pass
    with pytest.raises(TokenRequestError), lead(renewal) as failed:
        raise an_error()

    assert renewal.landed(vanished, None) is None
    with pytest.raises(TokenRequestError):
        renewal.landed(failed, None)


def test_an_abandoned_flow_ends_its_flight(renewal: Renewal) -> None:
    def flow() -> Iterator[None]:
        with lead(renewal):
            yield

    suspended = flow()
    next(suspended)
    waiting = wait(renewal)
    del suspended
    gc.collect()

    assert waiting.outcome() is None
    lead(renewal)


def test_leaving_the_block_after_a_landing_changes_nothing(renewal: Renewal) -> None:
    flight = lead(renewal)
    flight.land(TOKEN)
    with pytest.raises(TokenRequestError), flight:
        raise an_error()

    assert flight.outcome() is TOKEN
    assert renewal.token is TOKEN


def test_of_several_landings_the_first_counts(renewal: Renewal) -> None:
    flight = lead(renewal)
    flight.land(TOKEN)

    assert flight.land(OTHER) is OTHER
    assert flight.outcome() is TOKEN
    assert renewal.token is TOKEN


def test_a_landing_does_not_end_the_flight_of_a_successor(renewal: Renewal) -> None:
    first = lead(renewal)
    with first:
        pass
    second = lead(renewal)
    first.land(TOKEN)

    assert wait(renewal) is second
    assert renewal.token is None


def test_the_outcome_is_announced_when_all_can_see_it_and_no_lock_is_held(renewal: Renewal) -> None:
    flight = lead(renewal)
    seen: list[object] = []

    def look(_: object) -> None:
        # From another thread: a lock that its own thread may take again would not be noticed.
        seen.append(in_another_thread(lambda: ask(renewal)))
        seen.append(in_another_thread(lambda: renewal.land(flight, None)))

    flight.landed.add_done_callback(look)
    flight.land(TOKEN)

    assert seen == [TOKEN, None]


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
    renewal: Renewal, leader: Task | None, asker: Task | None, waits: bool
) -> None:
    flight = led(renewal.ask(None, now=0, lease=LEASE, task=leader))
    answer = renewal.ask(None, now=0, lease=LEASE, task=asker)

    assert isinstance(answer, Wait if waits else Lead)
    assert (answer.flight is flight) == waits
    assert flight.landed.done() == (not waits)


@pytest.mark.parametrize("leader_blocks", [False, True])
@pytest.mark.parametrize("asker_blocks", [False, True])
def test_between_threads_everyone_waits(
    renewal: Renewal, leader_blocks: bool, asker_blocks: bool
) -> None:
    flight = in_another_thread(lambda: lead(renewal, blocking=leader_blocks))

    assert wait(renewal, blocking=asker_blocks) is flight


def test_a_leader_is_overdue_when_its_lease_is_over(renewal: Renewal) -> None:
    flight = lead(renewal, now=100)

    assert wait(renewal, now=100 + LEASE - 0.001) is flight
    assert lead(renewal, now=100 + LEASE) is not flight


def test_the_lease_is_the_leaders_and_not_the_askers(renewal: Renewal) -> None:
    flight = led(renewal.ask(None, now=0, lease=5, task=a_task()))

    assert isinstance(renewal.ask(None, now=4.9, lease=1, task=a_task()), Wait)
    assert isinstance(renewal.ask(None, now=5, lease=1000, task=a_task()), Lead)
    assert flight.landed.done()


def depose(renewal: Renewal) -> tuple[Flight, Flight]:
    old = lead(renewal)
    return old, lead(renewal, now=LEASE)


def test_those_who_wait_for_a_deposed_leader_are_told_to_ask_again(renewal: Renewal) -> None:
    old, new = depose(renewal)

    assert old.outcome() is None
    assert wait(renewal, now=LEASE) is new


def test_the_late_landing_of_a_deposed_leader_serves_its_own_caller_alone(renewal: Renewal) -> None:
    old, new = depose(renewal)

    assert old.land(TOKEN) is TOKEN
    assert renewal.token is None
    assert old.outcome() is None
    assert wait(renewal, now=LEASE) is new
    new.land(OTHER)
    assert renewal.token is OTHER


def test_the_late_landing_of_a_deposed_leader_does_not_replace_a_newer_token(
    renewal: Renewal,
) -> None:
    old, new = depose(renewal)
    new.land(OTHER)
    old.land(TOKEN)

    assert renewal.token is OTHER


def test_the_failure_of_a_deposed_leader_is_its_own(renewal: Renewal) -> None:
    old, new = depose(renewal)
    with pytest.raises(TokenRequestError), old:
        raise an_error()

    assert old.outcome() is None
    assert wait(renewal, now=LEASE) is new


# Dropping


def test_a_dropped_token_is_given_to_nobody(renewed: Renewal) -> None:
    renewed.drop()

    assert renewed.token is None
    lead(renewed)


def test_where_there_is_no_token_none_is_dropped(renewal: Renewal) -> None:
    renewal.drop()

    assert renewal.token is None
    assert not renewal.is_dead(TOKEN)


@pytest.mark.parametrize("refused", ["abc", "older", ""])
def test_where_there_is_no_token_none_is_refused(renewal: Renewal, refused: str) -> None:
    assert not renewal.drop_refused(refused, USERS, now=0)

    assert renewal.token is None
    assert not renewal.refusals.entries


def test_a_refused_token_is_dropped_if_it_still_is_the_one(renewed: Renewal) -> None:
    renewed.drop_refused("older", USERS, now=0)
    assert renewed.token is TOKEN
    assert not renewed.refusals.entries

    renewed.drop_refused("abc", USERS, now=0)
    assert renewed.token is None


def test_an_empty_refused_token_is_not_taken_for_none(renewed: Renewal) -> None:
    renewed.drop_refused("", USERS, now=0)

    assert renewed.token is TOKEN


def test_a_token_that_was_refused_or_dropped_is_dead(renewed: Renewal) -> None:
    assert not renewed.is_dead(TOKEN)
    ask(renewed, "refused")
    assert renewed.is_dead(Token("refused"))
    assert not renewed.is_dead(TOKEN)

    renewed.drop()
    assert renewed.is_dead(TOKEN)
    assert renewed.is_dead(Token("abc"))
    assert not renewed.is_dead(OTHER)


def test_a_refused_token_whose_401_is_not_replayed_is_dead(renewed: Renewal) -> None:
    renewed.drop_refused("abc", USERS, now=0)

    assert renewed.is_dead(TOKEN)


def test_of_dead_tokens_the_last_few_are_remembered(renewal: Renewal) -> None:
    for number in range(1000):
        ask(renewal, f"token-{number}")
        ask(renewal, f"token-{number}")  # of two callers with the same one

    assert len(renewal._dead) == 16
    assert all(renewal.is_dead(Token(f"token-{number}")) for number in range(984, 1000))


def test_dropping_does_not_end_a_flight(renewed: Renewal) -> None:
    flight = lead(renewed, "abc")
    renewed.drop()

    assert wait(renewed) is flight
    flight.land(OTHER)
    assert renewed.token is OTHER


# Endpoints that refuse a fresh token too


@pytest.fixture
def refused(renewed: Renewal) -> Renewal:
    """At 10 s an endpoint has refused one token, and at 11 s the one that was fetched for it."""
    lead(renewed, "abc", USERS, now=10).land(OTHER)
    assert renewed.refused_again(OTHER, USERS, now=11)
    return renewed


def test_promise_14_an_endpoint_that_refuses_the_new_token_too_keeps_its_401_for_a_second(
    refused: Renewal,
) -> None:
    assert isinstance(ask(refused, "def", USERS, now=11), KeepRefusal)
    assert isinstance(ask(refused, "def", USERS, now=11.75), KeepRefusal)
    lead(refused, "def", USERS, now=12)


def test_promise_14_the_pause_begins_with_the_landing_and_anew_when_the_refusal_is_seen(
    renewed: Renewal,
) -> None:
    lead(renewed, "abc", USERS, now=10).land(OTHER, now=15)

    assert isinstance(ask(renewed, "def", USERS, now=15.75), KeepRefusal)
    assert isinstance(ask(renewed, "def", USERS, now=16.5), KeepRefusal)
    lead(renewed, "def", USERS, now=16.75)


def test_promise_14_a_refusal_long_after_the_landing_is_renewed_at_once(renewed: Renewal) -> None:
    lead(renewed, "abc", USERS, now=10).land(OTHER)

    lead(renewed, "def", USERS, now=11)


def test_promise_14_each_further_renewal_doubles_the_pause(refused: Renewal) -> None:
    now = 11.0
    for number, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60]):
        current = refused.token
        assert current is not None
        before, now = now + pause - 0.25, now + pause
        assert isinstance(ask(refused, current.access_token, USERS, now=before), KeepRefusal)
        token = Token(f"token-{number}")
        lead(refused, current.access_token, USERS, now=now).land(token)
        refused.refused_again(token, USERS, now=now)


def test_promise_14_another_endpoint_and_a_first_request_renew_meanwhile(refused: Renewal) -> None:
    flight = lead(refused, "def", LEADS, now=11)
    flight.vanish()
    lead(refused, "def", now=11)


def test_promise_14_an_endpoint_in_its_pause_takes_what_another_has_fetched(
    refused: Renewal,
) -> None:
    flight = lead(refused, "def", LEADS, now=11)
    assert wait(refused, "def", USERS, now=11) is flight
    newest = flight.land(Token("ghi"))

    assert ask(refused, "def", USERS, now=11) is newest
    assert isinstance(ask(refused, "ghi", USERS, now=11), KeepRefusal)


def test_promise_14_an_endpoint_in_its_pause_deposes_nobody(refused: Renewal) -> None:
    flight = lead(refused, "def", LEADS, now=11, blocking=True)

    assert isinstance(ask(refused, "def", USERS, now=11, blocking=True), KeepRefusal)
    assert not flight.landed.done()


def test_promise_14_an_acceptance_ends_the_pause(refused: Renewal) -> None:
    refused.accepted(USERS)

    lead(refused, "def", USERS, now=11).land(Token("ghi"))
    assert isinstance(ask(refused, "ghi", USERS, now=11.75), KeepRefusal)
    lead(refused, "ghi", USERS, now=12.75)


@pytest.mark.parametrize("ending", [TokenRequestError, ConnectionError, GeneratorExit])
def test_promise_14_a_renewal_that_brings_no_token_begins_no_pause(
    renewed: Renewal, ending: type[BaseException]
) -> None:
    error = an_error() if ending is TokenRequestError else ending()
    with pytest.raises(ending), lead(renewed, "abc", USERS):
        raise error

    assert not renewed.refusals.entries
    lead(renewed, "abc", USERS)


def test_promise_14_a_first_request_and_a_deposed_leader_begin_no_pause(renewal: Renewal) -> None:
    old = lead(renewal, "abc", USERS)
    lead(renewal, now=LEASE).land(TOKEN)
    old.land(OTHER)

    assert not renewal.refusals.entries


def test_promise_14_a_refusal_of_an_older_token_tells_nothing(renewed: Renewal) -> None:
    lead(renewed, "abc", USERS, now=10).land(OTHER)

    assert not renewed.refused_again(TOKEN, USERS, now=10.5)
    assert not renewed.refused_again(OTHER, LEADS, now=10.5)
    lead(renewed, "def", USERS, now=11)  # so that it still counts from the asking


def test_promise_14_a_401_that_cannot_be_replayed_drops_a_token_once_a_pause(
    renewed: Renewal,
) -> None:
    now, current = 0.0, TOKEN
    assert not renewed.drop_refused(current.access_token, USERS, now=now)
    for number, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60]):
        assert renewed.token is None
        current = lead(renewed, now=now).land(Token(f"token-{number}"))
        for step in (0, 0.25, pause - 0.25):
            assert renewed.drop_refused(current.access_token, USERS, now=now + step)
            assert renewed.token is current
            assert not renewed.is_dead(current)
        now += pause
        assert renewed.drop_refused(current.access_token, USERS, now=now)


def test_promise_14_the_pause_is_one_with_and_without_a_replay(refused: Renewal) -> None:
    assert refused.drop_refused("def", USERS, now=11.75)
    assert refused.token is OTHER

    assert not refused.drop_refused("def", LEADS, now=11.75)
    assert refused.token is None


def test_promise_14_the_user_is_told_once(renewal: Renewal) -> None:
    count = 100
    about_to_ask = threading.Barrier(count)

    def call() -> bool:
        about_to_ask.wait(LONG)
        return renewal.to_be_told(USERS)

    with ThreadPoolExecutor(count) as pool:
        results = [one.result(LONG) for one in [pool.submit(call) for _ in range(count)]]

    assert sum(results) == 1


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
