"""Any order of asks, results, failures, interrupts, waits and forks: one fetch, and nobody left waiting."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.properties import looked_at
from tests.support.shared_tokens import ELSEWHERE, LEADS, ONE, OTHER_TASK, USERS, a_task, an_error
from thebase_auth import Token, TokenRequestError
from thebase_auth._core.backoff import _HELPS, _STRIKES_AFTER_HELP, Operation
from thebase_auth._core.pending import Task
from thebase_auth._core.shared_token import Fetch, Flight, Keep401, SharedToken, Wait, _after_fork_in_child
from thebase_auth._core.token import CachedToken


class Flying(NamedTuple):
    """The flight under way."""

    flight: Flight
    overdue_at: float
    task: Task | None


class Waiter(NamedTuple):
    """A caller that was sent to wait, and with what it has asked."""

    flight: Flight
    refused: Token | None
    operation: Operation | None
    task: Task | None


class ModelOfPause:
    """A pause that doubles, of an operation or of the token endpoint."""

    def __init__(self) -> None:
        self.count = 0
        self.until = 0.0

    def begin(self, now: float, seconds: float | None = None) -> float:
        length = min(2.0**self.count, 60.0) if seconds is None else min(seconds, 60.0)
        self.count += 1
        self.until = now + length
        return length


class SharedTokenMachine(RuleBasedStateMachine):
    """Of the flights that this process has begun, one at most is not over: the one under way.

    So one fetch at most counts, and who waits for any other flight can go on. Whoever waits for the one
    under way can go on as soon as its leader has finished, failed or abandoned it, is overdue, is lost, or
    is held up at a cache; in the end everyone has a token, a failure or their 401. Only the flight under
    way can change the token. A forked child has no flight, and its parent's change nothing in it. An
    operation that has refused two tokens fetched on its account leads again when its pause is over, and
    not before, unless it accepts; more than two where renewals have helped it.

    Several callers of one thread: some are tasks of one loop or another, some block it. The preconditions
    of the rules are there to lose no step on what would change nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shared = SharedToken()
        self.now = 0.0
        self.tokens: list[Token] = []
        self.token: Token | None = None
        self.former: list[Token] = []
        self.superseded: list[Token] = []
        self.fetched_for: Operation | None = None
        self.under_way: Flying | None = None
        self.waiters: list[Waiter] = []
        self.results: dict[Flight, Token | Exception | None] = {}
        self.strikes: dict[Operation, int] = {}
        self.pauses: dict[Operation, ModelOfPause] = {}
        self.helped = dict.fromkeys([USERS, LEADS], 0)
        self.told: set[Operation] = set()
        self.rest = ModelOfPause()

    leaders = Bundle("leaders")
    operations = st.sampled_from([USERS, LEADS])
    which_token = st.sampled_from(["current", "current", "previous", "foreign"])
    which_waiter = st.integers(0, 1000)
    tasks = st.sampled_from([ONE, OTHER_TASK, a_task(), a_task(), ELSEWHERE, None])

    def named(self, which: str) -> Token | None:
        if which == "any":
            return None
        if which == "current" and self.token is not None:
            return self.token
        if which == "previous" and self.tokens:
            return self.tokens[-1]
        return Token("foreign")

    def remember(self, token: Token | None) -> None:
        if token is not None and token not in self.former:
            self.former = [*self.former, token][-256:]

    def must_wait(self, operation: Operation | None) -> bool:
        return operation in self.pauses and self.now < self.pauses[operation].until

    def strikes_until_a_pause(self, operation: Operation) -> int:
        return _STRIKES_AFTER_HELP if self.helped[operation] >= _HELPS else 2

    # Asking and waiting

    @rule(
        target=leaders,
        which=st.just("any") | which_token,
        operation=st.none() | operations,
        longest=st.integers(1, 20),
        task=tasks,
    )
    def ask(self, which: str, operation: Operation | None, longest: int, task: Task | None) -> Any:
        return self.step(self.named(which), operation, longest, task)

    @precondition(lambda self: self.under_way is not None)
    @rule(target=leaders, which=st.sampled_from(["any", "current"]), count=st.integers(1, 3))
    def others_ask_meanwhile(self, which: str, count: int) -> Any:
        """Else most would ask by themselves: of all that may happen, asking is little."""
        led = [self.step(self.named(which), None, 20, a_task()) for _ in range(count)]
        return multiple(*[flight for one in led for flight in one.values])

    def step(
        self,
        refused: Token | None,
        operation: Operation | None,
        longest: float,
        task: Task | None,
        given_up: Flight | None = None,
    ) -> Any:
        """Ask, and give the flight that the caller now leads, if it leads one."""
        step = self.shared.ask(
            refused, operation=operation, now=self.now, longest=longest, task=task, given_up=given_up
        )
        self.remember(refused)
        if isinstance(step, Token):
            assert step is self.token
            assert step != refused
            return multiple()
        assert self.token in (None, refused)
        before = self.under_way
        can_wait = (
            before is not None
            and before.flight is not given_up
            and self.now < before.overdue_at
            and None not in (task, before.task)
            and task is not before.task
            and ELSEWHERE not in (task, before.task)
        )
        if isinstance(step, Wait):
            assert can_wait
            assert before is not None
            assert step.flight is before.flight
            self.waiters.append(Waiter(step.flight, refused, operation, task))
            return multiple()
        assert not can_wait
        assert isinstance(step, Keep401) == self.must_wait(operation)
        if isinstance(step, Keep401):
            return multiple()
        assert isinstance(step, Fetch)
        flight = step.flight
        assert step.superseded is (before and before.flight)
        if before is not None:
            before.flight.end()
            self.results[before.flight] = None
        self.under_way = Flying(flight, self.now + longest, task)
        return multiple(flight)

    @precondition(lambda self: self.waiters)
    @rule(target=leaders, which=which_waiter, longest=st.integers(1, 20))
    def a_waiter_goes_on(self, which: int, longest: float) -> Any:
        waiter = self.waiters.pop(which % len(self.waiters))
        flight = waiter.flight
        if self.results.get(flight) is not None:
            return multiple()
        superseded = flight if flight.at_cache or flight.is_lost() else None
        return self.step(waiter.refused, waiter.operation, longest, waiter.task, superseded)

    @precondition(lambda self: self.waiters)
    @rule(which=which_waiter)
    def a_waiter_leaves(self, which: int) -> None:
        self.waiters.pop(which % len(self.waiters))

    # What leaders do

    def expect(self, flight: Flight, result: Token | Exception | None) -> bool:
        """Whether the flight is the one that counts."""
        if self.under_way is None or self.under_way.flight is not flight:
            return False
        self.under_way = None
        self.results[flight] = result
        return True

    @rule(flight=leaders, fetched=st.booleans())
    def finish(self, flight: Flight, fetched: bool) -> None:
        token = (Token if fetched else CachedToken)(f"token-{len(self.tokens)}")
        self.tokens.append(token)
        if self.expect(flight, token):
            self.remember(self.token)
            self.token = token
            self.fetched_for = flight.operation if fetched else None
            if fetched:
                self.rest = ModelOfPause()
        else:
            self.superseded = [*self.superseded, token][-256:]
        assert self.shared.finish(flight, token, now=self.now) is token

    @precondition(lambda self: self.under_way is not None)
    @rule(fetched=st.booleans())
    def finish_the_flight_under_way(self, fetched: bool) -> None:
        assert self.under_way is not None
        self.finish(self.under_way.flight, fetched)

    @rule(flight=leaders)
    def fail(self, flight: Flight) -> None:
        error = OSError()
        self.expect(flight, error)
        self.shared.abandon(flight, error)

    @rule(flight=consumes(leaders))
    def abandon(self, flight: Flight) -> None:
        self.expect(flight, None)
        self.shared.abandon(flight)

    @rule(flight=leaders, begun=st.booleans(), at_cache=st.booleans())
    def come_to(self, flight: Flight, begun: bool, at_cache: bool) -> None:
        flight.begun, flight.at_cache = begun, at_cache

    # What servers, users and the system do

    @rule(which=which_token, operation=operations)
    def answer_401(self, which: str, operation: Operation) -> None:
        refused = self.named(which)
        assert refused is not None
        replaced = self.token is not None and self.token != refused
        kept = not replaced and self.under_way is None and self.must_wait(operation)
        assert self.shared.must_keep_401(refused, operation, now=self.now) == kept
        tell = False
        if refused == self.token and operation == self.fetched_for:
            self.fetched_for = None
            self.strikes[operation] = self.strikes.get(operation, 0) + 1
            if self.strikes[operation] >= self.strikes_until_a_pause(operation):
                self.helped[operation] = 0
                self.pauses.setdefault(operation, ModelOfPause()).begin(self.now)
                tell = operation not in self.told
                self.told.add(operation)
        assert self.shared.note_refusal(refused, operation, now=self.now) == tell

    @precondition(lambda self: self.fetched_for is not None)
    @rule()
    def refuse_what_was_fetched_for_it_and_fetch_another(self) -> None:
        """Else few operations would have two strikes."""
        operation = self.fetched_for
        assert operation is not None
        self.answer_401("current", operation)
        self.step(self.token, operation, 20, None)
        if self.under_way is not None:
            self.finish(self.under_way.flight, True)

    @precondition(lambda self: self.strikes or self.fetched_for)
    @rule(operation=operations)
    def accept(self, operation: Operation) -> None:
        if operation == self.fetched_for:
            self.fetched_for = None
            self.helped[operation] += 1
        self.strikes.pop(operation, None)
        self.pauses.pop(operation, None)
        self.shared.accepted(operation)

    @rule(seconds=st.none() | st.integers(0, 100), status=st.sampled_from([200, 401, 404, 429, 503]))
    def the_token_endpoint_refuses(self, seconds: int | None, status: int) -> None:
        error = self.shared.note_endpoint_error(an_error(status, retry_after=seconds), self.now)
        if status in (404, 503):
            assert error.retry_after is None
        else:
            assert error.retry_after == self.rest.begin(self.now, seconds)

    @precondition(lambda self: self.token is not None or self.rest.count)
    @rule(forget=st.booleans())
    def drop(self, forget: bool) -> None:
        before, self.token, self.fetched_for = self.token, None, None
        self.remember(before)
        if forget:
            self.rest = ModelOfPause()
            self.shared.forget()
        elif before is not None:
            self.shared.drop(before)

    @precondition(lambda self: self.under_way is not None)
    @rule()
    def fork(self) -> None:
        """From here on this is the child. Who waits, and who leads, is in its parent."""
        _after_fork_in_child()
        self.under_way = None
        self.waiters.clear()

    @precondition(lambda self: self.pauses or self.under_way is not None or self.rest.count)
    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    # What holds at any time

    @invariant()
    def the_token_is_that_of_the_last_flight_that_counted(self) -> None:
        assert self.shared.token is self.token
        for token in self.tokens:
            assert self.shared.is_former(token) == (token in self.former)
            known = token == self.token or token in [*self.former, *self.superseded]
            assert (self.shared.token_in(token.authorization) == token) == known

    @invariant()
    def an_operation_waits_after_its_strikes_and_no_longer_than_a_minute(self) -> None:
        assert {one: strikes.count for one, strikes in self.shared.backoff.strikes.items()} == self.strikes
        for operation in (USERS, LEADS):
            waits = self.shared.backoff.must_wait(operation, self.now)
            assert waits == self.must_wait(operation)
            assert not self.shared.backoff.must_wait(operation, self.now + 60)

    @invariant()
    def the_token_endpoint_rests_no_longer_than_a_minute(self) -> None:
        error = self.shared.error_during_pause(self.now)
        left = max(self.rest.until - self.now, 0)
        assert (error.retry_after if error else 0) == left
        assert error is None or isinstance(error, TokenRequestError)
        assert left <= 60

    @invariant()
    def the_flight_under_way_is_not_over_and_every_other_is(self) -> None:
        assert self.shared._flight is (self.under_way and self.under_way.flight)
        assert self.under_way is None or not self.under_way.flight.over
        for flight, result in self.results.items():
            assert flight.over
            assert flight.token is (result if isinstance(result, Token) else None)
            assert flight.failure is (result if isinstance(result, Exception) else None)

    @invariant()
    def nobody_waits_for_a_flight_that_nobody_ends(self) -> None:
        for waiter in self.waiters:
            assert waiter.flight.over or waiter.flight is self.shared._flight

    def teardown(self) -> None:
        """Everyone who waits goes on, however many leaders abandon their flights one after another."""
        while self.waiters:
            count = len(self.waiters)
            if self.under_way is not None:
                flight = self.under_way.flight
                self.abandon(flight) if count > 1 else self.finish(flight, True)
            for _ in range(count):
                self.a_waiter_goes_on(0, 10)
            assert len(self.waiters) < count


TestSharedTokenMachine = SharedTokenMachine.TestCase
TestSharedTokenMachine.settings = looked_at(times=2)
