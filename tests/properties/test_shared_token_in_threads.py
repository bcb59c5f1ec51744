"""The shared token among threads that go on in any order."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2
import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter

import thebase_auth._httpx
import thebase_auth._waiting
from tests.support.clients import auth_for
from thebase_auth import TokenRequestError
from thebase_auth._core.shared_token import Flight

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
            assert self._changed.wait_for(lambda: len(self._at) == self._playing, self.LONG), self._at
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
        if fault:
            return {"trouble": 503, "refusal": 401}[fault], b""
        return 200, b'{"access_token": "%s"}' % name.encode()


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
        response.connection = self
        return response


def session_in(world: World) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Adapter(world))
    return session


def client_in(world: World, library: Any, auth: Any) -> Any:
    class Transport(library.BaseTransport):
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
    Cast, st.lists(st.sampled_from([requests, httpx, httpx2]), min_size=2, max_size=6), st.integers(1, 2)
)
# Who goes on at each step, as bits, and what happens before it.
SCHEDULES = st.lists(
    st.tuples(st.integers(1, 63), st.sampled_from(["", "", "", "revoke", "lost", "trouble", "refusal"])),
    max_size=60,
)
USERS_URL = "https://acme.thebase.co.il/v2/users"
MOST_STEPS = 400


@given(CASTS, SCHEDULES)
def test_in_threads_of_any_order_one_fetches_and_nobody_is_left_waiting(
    cast: Cast, schedule: list[tuple[int, str]]
) -> None:
    """One token request at most is under way, each dead token costs one, and every call ends.

    It ends with an answer, or with the failure of the one token request: the transport's for who made
    it and, in requests, for those who waited; the token endpoint's for all who waited, and for those who
    come in the pause after a refusal. A 401 is left only where tokens were revoked meanwhile.
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

    def wait(pending: Any, seconds: float) -> None:
        # What is no flight is a short pause, which only time ends.
        stage.mark("waiting for another", lambda: pending.over or not isinstance(pending, Flight))

    revocations = 0
    with pytest.MonkeyPatch.context() as patch:
        for driver in (thebase_auth._waiting, thebase_auth._httpx):
            patch.setattr(driver, "wait_blocking", wait)
        threads = stage.start([part(library) for library in cast.libraries])
        try:
            for step in range(MOST_STEPS):
                standing = stage.who_stands()
                if not standing:
                    break
                ready = {number for number, (_, is_ready) in standing.items() if is_ready()}
                assert ready, f"left waiting: {[name for name, _ in standing.values()]}"
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
    assert len(lost) >= world.told_faults.count("lost")
    assert not lost or "lost" in world.told_faults
    assert len(errors) == len(lost) or {"trouble", "refusal"} & {*world.told_faults}
    assert {one for one in ended if one not in errors} <= ({200, 401} if revocations else {200})
