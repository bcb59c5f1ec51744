"""Any order of asks, answers, failures, cancellations, waits and forks: one fetch, and nobody stranded."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.properties import looked_at
from tests.support.renewals import ELSEWHERE, LEADS, ONE, OTHER_TASK, USERS, a_task, an_error, led
from thebase_auth import TokenRequestError
from thebase_auth._refusals import Endpoint
from thebase_auth._renewal import Flight, KeepRefusal, Lead, Renewal, Task, Wait
from thebase_auth._token import Token

# As a state machine, in one thread


class Flying(NamedTuple):
    """The flight under way."""

    flight: Flight
    lapses_at: float
    task: Task | None


class Waiter(NamedTuple):
    """A caller that was told to wait, and with what it has asked."""

    flight: Flight
    refused: str | None
    endpoint: Endpoint | None
    task: Task | None


class RenewalMachine(RuleBasedStateMachine):
    """Of the flights that this process has handed out, one at most has not landed: the one under way.

    So one fetch at most counts, and who waits for any other flight can go on. Whoever waits for the one
    under way can go on as soon as its leader has landed it, failed or vanished in any manner, is overdue,
    or is at a cache for too long; in the end everyone has a token, a failure or their 401. Only the
    flight under way can change the token. A forked child has no flight, and its parent's change nothing
    in it. An endpoint on whose account a token was fetched leads again when its pause is over, and not
    before, unless it accepts.

    Several callers of one thread: some are tasks of one loop or another, some block it. The preconditions
    of the rules are there to lose no step on what would change nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.renewal = Renewal()
        self.now = 0.0
        self.made = 0
        self.token: Token | None = None
        self.under_way: Flying | None = None
        self.waiters: list[Waiter] = []
        self.outcomes: dict[Flight, Token | str | None] = {}
        self.accounts: dict[Flight, tuple[Endpoint | None, float]] = {}  # and when it was asked for
        self.at_cache: set[Flight] = set()
        # How long, until when, seen to refuse.
        self.pauses: dict[Endpoint, tuple[float, float, bool]] = {}

    leaders = Bundle("leaders")
    endpoints = st.sampled_from([USERS, LEADS])
    callers = st.sampled_from(["any", "any", "current", "current", "previous", "foreign"])
    which_waiter = st.integers(0, 1000)

    @initialize(has_cache=st.booleans())
    def begin(self, has_cache: bool) -> None:
        self.renewal = Renewal(has_cache=has_cache)

    def refused(self, which: str) -> str | None:
        current = f"token-{self.made}" if self.token is None else self.token.access_token
        return {"any": None, "current": current, "previous": f"token-{self.made - 1}"}.get(
            which, "x"
        )

    # Asking and waiting

    @rule(
        target=leaders,
        which=callers,
        endpoint=st.none() | endpoints,
        lease=st.integers(1, 20),
        task=st.sampled_from([ONE, OTHER_TASK, a_task(), a_task(), ELSEWHERE, None]),
    )
    def ask(self, which: str, endpoint: Endpoint | None, lease: int, task: Task | None) -> Any:
        return self.answer(self.refused(which), endpoint, lease, task) or multiple()

    @precondition(lambda self: self.under_way is not None)
    @rule(target=leaders, which=st.sampled_from(["any", "current"]), count=st.integers(1, 3))
    def others_ask_meanwhile(self, which: str, count: int) -> Any:
        """Else most would ask alone: of all that may happen, asking is little."""
        refused = self.refused(which)
        return multiple(
            *filter(None, [self.answer(refused, None, 20, a_task()) for _ in range(count)])
        )

    def answer(
        self,
        refused: str | None,
        endpoint: Endpoint | None,
        lease: float,
        task: Task | None,
        in_vain: Flight | None = None,
    ) -> Flight | None:
        """Ask, and give the flight that the caller now leads, if it leads one."""
        answer = self.renewal.ask(
            refused, endpoint=endpoint, now=self.now, lease=lease, task=task, in_vain=in_vain
        )
        assert refused is None or self.renewal.is_dead(Token(refused))
        if isinstance(answer, Token):
            assert answer.access_token != refused
            assert answer is self.token
            return None
        assert self.token is None or self.token.access_token == refused
        before = self.under_way
        can_wait = (
            before is not None
            and self.now < before.lapses_at
            and None not in (task, before.task)
            and task is not before.task
            and ELSEWHERE not in (task, before.task)
            and not (in_vain is before.flight and before.flight in self.at_cache)
        )
        if isinstance(answer, Wait):
            assert can_wait
            assert before is not None
            assert answer.flight is before.flight
            self.waiters.append(Waiter(answer.flight, refused, endpoint, task))
            return None
        assert not can_wait
        assert isinstance(answer, KeepRefusal) == self.must_wait(endpoint)
        if isinstance(answer, KeepRefusal):
            assert endpoint is not None
            self.see_refusal(endpoint)
            return None
        assert isinstance(answer, Lead)
        flight = answer.flight
        assert flight not in self.accounts
        if before is not None:
            self.outcomes[before.flight] = None
        self.under_way = Flying(flight, self.now + lease, task)
        self.accounts[flight] = (endpoint, self.now)
        if self.renewal.has_cache:
            self.at_cache.add(flight)
        return led(answer)

    @precondition(lambda self: self.waiters)
    @rule(target=leaders, which=which_waiter, lease=st.integers(1, 20))
    def a_waiter_goes_on(self, which: int, lease: float) -> Any:
        waiter = self.waiters.pop(which % len(self.waiters))
        flight, refused, *_ = waiter
        if flight.landed.done():
            outcome = self.outcomes[flight]
            if isinstance(outcome, str):
                with pytest.raises(TokenRequestError):
                    self.renewal.landed(flight, refused)
                return multiple()
            newer = self.token if self.token and self.token.access_token != refused else outcome
            found = self.renewal.landed(flight, refused)
            assert found is (None if outcome is None else newer)
            if found is not None:
                return multiple()
        # Else half of its time is over.
        return (
            self.answer(refused, waiter.endpoint, lease, waiter.task, in_vain=flight) or multiple()
        )

    @precondition(lambda self: self.waiters)
    @rule(which=which_waiter)
    def a_waiter_vanishes(self, which: int) -> None:
        self.waiters.pop(which % len(self.waiters))

    # What leaders do

    def expect(
        self, flight: Flight, outcome: Token | str | None, *, now: float | None = None
    ) -> None:
        if self.under_way is not None and self.under_way.flight is flight:
            self.under_way = None
            self.outcomes[flight] = outcome
            if isinstance(outcome, Token):
                self.token = outcome
                endpoint, asked_at = self.accounts[flight]
                if endpoint is not None:
                    self.begin_pause(endpoint, asked_at if now is None else now)

    @rule(flight=leaders, from_cache=st.booleans(), dated=st.booleans())
    def land(self, flight: Flight, from_cache: bool, dated: bool) -> None:
        self.made += 1
        token = Token(f"token-{self.made}")
        if from_cache:
            self.accounts[flight] = (None, 0)
        now = self.now if dated else None
        self.expect(flight, token, now=now)
        assert flight.land(token, now=now, fetched=not from_cache) is token

    @precondition(lambda self: self.under_way is not None)
    @rule(from_cache=st.booleans(), dated=st.booleans())
    def land_the_flight_under_way(self, from_cache: bool, dated: bool) -> None:
        assert self.under_way is not None
        self.land(self.under_way.flight, from_cache, dated)

    @rule(flight=leaders)
    def leave_the_cache(self, flight: Flight) -> None:
        self.at_cache.discard(flight)
        flight.at_cache = False

    @rule(flight=leaders)
    def fail(self, flight: Flight) -> None:
        self.expect(flight, "failed")
        with pytest.raises(TokenRequestError), flight:
            raise an_error()

    @rule(flight=consumes(leaders), how=st.sampled_from([None, GeneratorExit, OSError]))
    def vanish(self, flight: Flight, how: type[BaseException] | None) -> None:
        self.expect(flight, None)
        try:
            with flight:
                if how is not None:
                    raise how
        except (GeneratorExit, OSError):
            pass

    @rule(flight=consumes(leaders))
    def be_collected_before_it_began(self, flight: Flight) -> None:
        self.expect(flight, None)
        flight.leader = None  # type: ignore[attr-defined]

    # What callers and the system do

    @precondition(lambda self: self.under_way is not None)
    @rule()
    def fork(self) -> None:
        """From here on this is the child. Who waits, and who leads, is in its parent."""
        self.renewal._after_fork_in_child()
        self.under_way = None
        self.waiters.clear()

    @precondition(lambda self: self.token is not None)
    @rule()
    def drop(self) -> None:
        before, self.token = self.token, None
        self.renewal.drop()
        assert before is None or self.renewal.is_dead(before)

    @precondition(lambda self: self.token is not None)
    @rule(which=callers.filter(lambda which: which != "any"), endpoint=endpoints)
    def drop_refused(self, which: str, endpoint: Endpoint) -> None:
        refused = self.refused(which)
        assert refused is not None
        again = False
        if self.token is not None and self.token.access_token == refused:
            again = endpoint in self.pauses
            if self.must_wait(endpoint):
                self.see_refusal(endpoint)
            else:
                if self.under_way is None or self.accounts[self.under_way.flight][0] != endpoint:
                    self.begin_pause(endpoint, self.now)
                self.token = None
        assert self.renewal.drop_refused(refused, endpoint, now=self.now) == again

    @precondition(lambda self: self.pauses)
    @rule(which=callers.filter(lambda which: which != "any"), endpoint=endpoints)
    def look_whether_a_401_is_final(self, which: str, endpoint: Endpoint) -> None:
        refused = self.refused(which)
        assert refused is not None
        replaced = self.token is not None and self.token.access_token != refused
        final = not replaced and self.under_way is None and self.must_wait(endpoint)
        if final:
            self.see_refusal(endpoint)
        assert self.renewal.is_final(refused, endpoint, now=self.now) == final

    @precondition(lambda self: self.pauses)
    @rule(endpoint=endpoints, older=st.booleans())
    def replay_is_refused(self, endpoint: Endpoint, older: bool) -> None:
        if older or self.token is None:
            assert not self.renewal.refused_again(Token("older"), endpoint, now=self.now)
        else:
            again = self.see_refusal(endpoint)
            assert self.renewal.refused_again(self.token, endpoint, now=self.now) == again

    @precondition(lambda self: self.pauses)
    @rule(endpoint=endpoints)
    def accept(self, endpoint: Endpoint) -> None:
        self.pauses.pop(endpoint, None)
        self.renewal.accepted(endpoint)

    @precondition(lambda self: self.pauses or self.under_way is not None)
    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    def must_wait(self, endpoint: Endpoint | None) -> bool:
        return endpoint in self.pauses and self.now < self.pauses[endpoint][1]

    def begin_pause(self, endpoint: Endpoint, now: float) -> None:
        before = self.pauses.get(endpoint, (0.5, 0, False))[0]
        pause = min(2 * before, 60)
        self.pauses[endpoint] = (pause, now + pause, False)

    def see_refusal(self, endpoint: Endpoint) -> bool:
        if endpoint not in self.pauses:
            return False
        pause, _, seen = self.pauses[endpoint]
        if not seen:
            self.pauses[endpoint] = (pause, self.now + pause, True)
        return True

    # What holds at any time

    @invariant()
    def the_token_is_that_of_the_last_flight_that_counted(self) -> None:
        assert self.renewal.token is self.token

    @invariant()
    def no_endpoint_waits_longer_than_a_minute(self) -> None:
        assert set(self.renewal.refusals.entries) == set(self.pauses)
        for endpoint in (USERS, LEADS):
            waits = self.renewal.refusals.must_wait(endpoint, self.now)
            assert waits == self.must_wait(endpoint)
            assert not self.renewal.refusals.must_wait(endpoint, self.now + 60)

    @invariant()
    def the_flight_under_way_has_not_landed_and_every_other_has(self) -> None:
        assert self.renewal._flight is (self.under_way and self.under_way.flight)
        if self.under_way is not None:
            assert not self.under_way.flight.landed.done()
        for flight, outcome in self.outcomes.items():
            assert flight.landed.done()
            if outcome == "failed":
                with pytest.raises(TokenRequestError):
                    flight.outcome()
            else:
                assert flight.outcome() is outcome

    @invariant()
    def nobody_waits_for_a_flight_that_will_not_land(self) -> None:
        for waiter in self.waiters:
            under_way = self.under_way is not None and waiter.flight is self.under_way.flight
            assert under_way or waiter.flight.landed.done()

    def teardown(self) -> None:
        """Everyone who waits goes on, however many leaders vanish one after another."""
        while self.waiters:
            count = len(self.waiters)
            if self.under_way is not None:
                flight = self.under_way.flight
                self.vanish(flight, None) if count > 1 else self.land(flight, False, False)
            for _ in range(count):
                self.a_waiter_goes_on(0, 10)
            assert len(self.waiters) < count


TestRenewalMachine = RenewalMachine.TestCase
TestRenewalMachine.settings = looked_at(times=2)
