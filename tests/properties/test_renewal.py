"""Callers in any order: one of them fetches, and none is left waiting."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.properties import looked_at
from tests.support.clock import Clock
from tests.support.renewals import Driven, a_rejection, a_renewal, a_task, a_thread
from thebase_auth._core.errors import TokenRequestError, TokenTimeoutError
from thebase_auth._core.flight import Flight
from thebase_auth._core.renewal import _after_fork_in_child
from thebase_auth._core.token import Token

WHICH = st.integers(0, 1000)


class Call(Driven):
    """A caller that counts how long it waits for each flight, and how many of them have failed."""

    def __init__(self, clock: Clock, *arguments: Any, **options: Any) -> None:
        self.clock = clock
        self.waited: dict[Flight, float] = {}
        self.failures = 0
        self.started = clock.now
        super().__init__(*arguments, **options)

    @property
    def flight(self) -> Flight | None:
        return self.waits_for if isinstance(self.waits_for, Flight) else None

    def wake_up(self) -> None:
        flight = self.flight
        assert flight is not None
        seconds: float = self._step.seconds
        if flight.done:
            seconds = min(seconds, self.clock.now - self.started)
        self.waited[flight] = self.waited.get(flight, 0) + seconds
        self.started = self.clock.now
        self.go_on()
        if self.flight is not flight and flight.failure_for(self.caller):
            self.failures += 1  # what is seen now: its leader may be cancelled later

    @property
    def time_left(self) -> float:
        return self.caller.timeout - sum(self.waited.values())


class RenewalMachine(RuleBasedStateMachine):
    """The model: who leads, and what each caller has waited for.

    A caller leads only if nobody does, if the leader is lost, or if it has waited for leaders for half of
    its timeout. Whoever waits, waits for the leader or is about to be woken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.patch = Clock(), pytest.MonkeyPatch()
        for module in ("flight", "renewal", "token"):
            self.patch.setattr(f"thebase_auth._core.{module}.time", self.clock)
        self.renewal = a_renewal()
        self.calls: list[Call] = []  # those that have not finished
        self.leader: Call | None = None
        self.tokens: list[Token] = []
        self.responses_without_token = 0
        self.rejected: dict[Call, Token | None] = {}

    def took_a_step(self, call: Call, *, was_fetching: bool = False) -> None:
        """Check what *call* does now, and keep the model up to date."""
        if call is self.leader and not call.is_fetching:
            self.leader = None
        if call.is_fetching and not was_fetching:
            if self.leader is not None and not self.leader.caller.is_lost():
                assert sum(call.waited.values()) > call.caller.timeout / 2 - 0.001
            self.leader = call
        assert call.time_left > -0.001
        assert all(seconds <= call.caller.timeout / 2 for seconds in call.waited.values())
        if not call.is_done:
            return
        self.calls.remove(call)
        if call.result is not None:
            assert call.result is not self.rejected[call]
        elif isinstance(call.error, TokenRequestError):
            assert self.responses_without_token
            if not was_fetching and self.renewal._flight is None:
                self.leader = None  # this call has passed it over, and was stopped by a pause
        elif isinstance(call.error, TokenTimeoutError):
            assert call.failures >= 2 or call.time_left < 0.001
            assert call.fetches == 0
        else:
            assert was_fetching

    @rule(
        timeout=st.sampled_from([2.0, 8.0, 8.0, 20.0]),
        make=st.sampled_from([a_thread, a_task]),
        which=st.none() | st.just(0) | WHICH,
    )
    def ask(self, timeout: float, make: Any, which: int | None) -> None:
        rejected = self.tokens[-1 - which % len(self.tokens)] if which is not None and self.tokens else None
        call = Call(self.clock, self.renewal, rejected, caller=make(), timeout=timeout)
        self.rejected[call] = rejected
        self.calls.append(call)
        self.took_a_step(call)

    @precondition(lambda self: any(call.flight for call in self.calls))
    @rule(which=WHICH, steps=st.integers(1, 10))
    def wait(self, which: int, steps: int) -> None:
        calls = [call for call in self.calls if call.flight]
        call = calls[which % len(calls)]
        for _ in range(steps):
            if call.flight:
                call.wake_up()
                self.took_a_step(call)

    @precondition(lambda self: any(call.is_fetching for call in self.calls))
    @rule(
        which=WHICH,
        outcome=st.sampled_from(["new token", "new token", "same token", "lost"])
        | st.sampled_from([a_rejection(), a_rejection(503), ConnectionError(), KeyboardInterrupt()]),
    )
    def end_token_request(self, which: int, outcome: str | BaseException) -> None:
        calls = [call for call in self.calls if call.is_fetching]
        call = calls[which % len(calls)]
        if outcome == "lost":
            call.caller.is_lost = lambda: True
            self.calls.remove(call)
            return
        if isinstance(outcome, str):
            is_new = outcome == "new token" or not self.tokens
            token = Token(f"token {len(self.tokens)}" if is_new else self.tokens[-1].access_token)
            self.tokens.append(token)
            call.go_on(token)
            if self.renewal.token is token:
                self.leader = None  # however late it is, nobody waits any longer
        else:
            self.responses_without_token += isinstance(outcome, TokenRequestError)
            call.go_on(copy.copy(outcome))
        self.took_a_step(call, was_fetching=True)

    @precondition(lambda self: self.calls)
    @rule(which=WHICH, how=st.sampled_from(["cancel", "fork", "forget", "time"]))
    def disturb(self, which: int, how: str) -> None:
        call = self.calls[which % len(self.calls)]
        if how == "forget":
            self.renewal.forget()
        elif how == "time":
            self.clock.now += which / 10
        elif how == "cancel":
            try:
                raise KeyboardInterrupt  # hypothesis itself may be handling an exception, which would count
            except KeyboardInterrupt:
                call.cancel()
            self.calls.remove(call)
            self.leader = None if call is self.leader else self.leader
        else:  # only the caller that forks goes on in the child
            _after_fork_in_child()
            for gone in self.calls:
                gone.caller.is_lost = lambda gone=gone: gone is not call  # type: ignore[misc]
            self.calls, self.leader = [call], None

    @invariant()
    def nobody_is_stranded(self) -> None:
        leaders = [] if self.leader is None else [self.leader.caller]
        for flight in [call.flight for call in self.calls if call.flight]:
            assert flight.done or flight.leader in leaders or flight.leader.is_lost()

    def teardown(self) -> None:
        for _ in range(100):
            for call in list(self.calls):
                if call.is_fetching:
                    call.go_on(Token("last"))
                elif not call.is_done:
                    call.wake_up()
            self.calls = [call for call in self.calls if not call.is_done]
        self.patch.undo()
        assert self.calls == []


TestRenewal = RenewalMachine.TestCase
TestRenewal.settings = looked_at(times=3)
