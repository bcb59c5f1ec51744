"""Any order of asks, answers, failures, cancellations, waits and forks: one fetch, and nobody stranded."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import httpx2
import pytest
import requests
import urllib3
from hypothesis import given
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
from requests.adapters import HTTPAdapter

import thebase_auth._httpx_driver
import thebase_auth._waiting
from tests.properties import looked_at
from tests.support.clients import auth_for
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


# In threads of any order


class Abandoned(BaseException):
    """The test is over, and has failed; the thread has to end."""


class Stage:
    """Where threads play: each runs from one mark to the next, when it is told to.

    Between two marks those that were told to go on run at the same time. No clock is read.
    """

    LONG = 30.0  # seconds; longer than anything here takes

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at: dict[int, tuple[str, Callable[[], bool]]] = {}  # who stands at which mark
        self._playing = 0
        self._over = False
        self._me = threading.local()

    def start(self, parts: list[Callable[[], None]]) -> list[threading.Thread]:
        def play(number: int, part: Callable[[], None]) -> None:
            self._me.number = number
            try:
                self.mark("at the beginning")
                part()
            except Abandoned:
                pass
            finally:
                with self._changed:
                    self._playing -= 1
                    self._changed.notify_all()

        self._playing = len(parts)
        threads = [
            threading.Thread(target=play, args=(number, part), daemon=True)
            for number, part in enumerate(parts)
        ]
        for thread in threads:
            thread.start()
        return threads

    def mark(self, name: str, ready: Callable[[], bool] = lambda: True) -> None:
        """Stand here until told to go on, which happens once *ready* says so."""
        number = self._me.number
        with self._changed:
            self._at[number] = (name, ready)
            self._changed.notify_all()
            self._changed.wait_for(lambda: number not in self._at or self._over, self.LONG)
            if self._over or number in self._at:
                raise Abandoned

    def who_stands(self) -> dict[int, tuple[str, Callable[[], bool]]]:
        """Those who stand at a mark, once nobody moves."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._at) == self._playing, self.LONG), (
                self._at
            )
            return dict(self._at)

    def go_on(self, numbers: set[int]) -> None:
        with self._changed:
            for number in numbers:
                del self._at[number]
            self._changed.notify_all()

    def abandon(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()


class LostError(Exception):
    """The connection of a token request was lost."""


class World:
    """TheBase without a network. Every request stands at a mark before it is answered and after it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.live: set[str] = set()
        self.token_requests = 0
        self.under_way = 0
        self.most_under_way = 0
        self.faults: list[str] = []
        self.told_faults: list[str] = []

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        if path != "/oauth/token":
            self.stage.mark("at the API")
            accepted = authorization.removeprefix("Bearer ") in self.live
            self.stage.mark("on the way back")
            return (200 if accepted else 401), b""
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.token_requests += 1
        name = f"token-{self.token_requests}"
        try:
            self.stage.mark("at the token endpoint")
            fault = self.faults.pop() if self.faults else ""
            self.told_faults += [fault] if fault else []
            if not fault:
                self.live.add(name)
            self.stage.mark("on the way back from the token endpoint")
        finally:
            self.under_way -= 1
        if fault == "lost":
            raise LostError
        return (503, b"") if fault else (200, b'{"access_token": "%s"}' % name.encode())


class Adapter(HTTPAdapter):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            status, body = self.world.answer(request.path_url, request.headers["Authorization"])
        except LostError as lost:
            raise requests.ConnectionError(request=request) from lost
        raw = urllib3.HTTPResponse(io.BytesIO(body), {}, status, preload_content=False)
        response = self.build_response(request, raw)
        response.connection = self  # type: ignore[attr-defined]
        return response


def session_in(world: World) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Adapter(world))
    return session


def client_in(world: World, library: Any, auth: Any) -> Any:
    class Transport(library.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            try:
                status, body = world.answer(request.url.path, request.headers["Authorization"])
            except LostError as lost:
                raise library.ConnectError("lost") from lost
            return library.Response(status, content=body)

    return library.Client(auth=auth, transport=Transport())


@dataclass
class Cast:
    """The threads of one play: for each the library that it uses, and how many calls it makes."""

    libraries: list[Any]
    calls: int


CASTS = st.builds(
    Cast,
    st.lists(st.sampled_from([requests, httpx, httpx2]), min_size=2, max_size=6),
    st.integers(1, 2),
)
# Who goes on at each step, as bits, and what happens before it.
SCHEDULES = st.lists(
    st.tuples(st.integers(1, 63), st.sampled_from(["", "", "", "revoke", "lost", "trouble"])),
    max_size=60,
)
USERS_URL = "https://acme.thebase.co.il/v2/users"
MOST_STEPS = 400


@given(CASTS, SCHEDULES)
def test_in_threads_of_any_order_one_fetches_and_nobody_is_stranded(
    cast: Cast, schedule: list[tuple[int, str]]
) -> None:
    """One token request at most is under way, each dead token costs one, and every call ends.

    It ends with an answer, or with the failure of the one token request: the transport's for who made
    it, the token endpoint's for all who waited. A 401 is left only where tokens were revoked meanwhile.
    """
    stage = Stage()
    world = World(stage)
    auth = auth_for("acme.thebase.co.il", session=session_in(world))
    ended: list[Any] = []

    def part(library: Any) -> Callable[[], None]:
        def play() -> None:
            client: Any
            if library is requests:
                client = session_in(world)
                client.auth = auth
            else:
                client = client_in(world, library, auth)
            with client:
                for _ in range(cast.calls):
                    try:
                        ended.append(client.get(USERS_URL).status_code)
                    except Exception as error:
                        ended.append(error)

        return play

    def wait(future: Any, seconds: float) -> bool:
        stage.mark("waiting for another", future.done)
        return bool(future.done())

    revocations = 0
    with pytest.MonkeyPatch.context() as patch:
        for driver in (thebase_auth._waiting, thebase_auth._httpx_driver):
            patch.setattr(driver, "wait_blocking", wait)
        threads = stage.start([part(library) for library in cast.libraries])
        try:
            for step in range(MOST_STEPS):
                standing = stage.who_stands()
                if not standing:
                    break
                ready = {number for number, (_, is_ready) in standing.items() if is_ready()}
                assert ready, f"stranded: {[name for name, _ in standing.values()]}"
                bits, event = schedule[step] if step < len(schedule) else (63, "")
                if event == "revoke":
                    revocations += bool(world.live)
                    world.live.clear()
                elif event:
                    world.faults.append(event)
                stage.go_on({number for number in ready if bits >> number & 1} or ready)
            else:
                raise AssertionError("no end is in sight")
        finally:
            stage.abandon()
            for thread in threads:
                thread.join(Stage.LONG)

    assert len(ended) == len(cast.libraries) * cast.calls
    assert world.most_under_way == 1
    assert world.token_requests <= 1 + revocations + len(world.told_faults)
    errors = [one for one in ended if isinstance(one, Exception)]
    lost = [one for one in errors if not isinstance(one, TokenRequestError)]
    assert {type(one).__name__ for one in lost} <= {"ConnectionError", "ConnectError"}
    assert len(lost) == world.told_faults.count("lost")
    assert len(errors) == len(lost) or "trouble" in world.told_faults
    assert {one for one in ended if one not in errors} <= ({200, 401} if revocations else {200})
