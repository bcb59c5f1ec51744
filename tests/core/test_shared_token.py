"""However many callers ask, one of them fetches the token, and none of the others is stranded."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from tests.support.renewals import (
    ELSEWHERE,
    LEASE,
    ONE,
    OTHER,
    OTHER_TASK,
    TOKEN,
    USERS,
    a_task,
    an_error,
    ask,
    in_another_thread,
    lead,
    led,
    wait,
)
from thebase_auth._errors import TokenRequestError
from thebase_auth._renewal import Flight, Lead, Renewal, Task, Wait
from thebase_auth._token import Token

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
