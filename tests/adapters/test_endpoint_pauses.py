"""A token endpoint that refuses is not asked again at once, and its failure is shared by all who wait."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import urllib3

from tests.support.callers import wait_until_waiting
from tests.support.clients import Client, auth_for, each_in_some_client, one_time_body
from tests.support.clock import Clock
from tests.support.servers import Answer, Api, Received, api_server
from thebase_auth import TokenRequestError
from thebase_auth.requests import _is_shared


class Refusing(Api):
    """Its token endpoint answers as it is told to, while it is told to."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__()
        self.answer: Answer | None = (status, headers, body)
        self.asked = 0

    def give_token(self, request: Received) -> Answer:
        self.asked += 1
        return self.answer or super().give_token(request)


def refused(client: Client, auth: Any, url: str) -> TokenRequestError:
    with pytest.raises(TokenRequestError) as caught:
        client.get(auth, url)
    return caught.value


@each_in_some_client(
    "answer",
    [
        (400, {}, b'{"error": "unauthorized_client"}'),
        (401, {}, b'{"error": "invalid_client"}'),
        (403, {"Content-Type": "text/html"}, b"<title>Blocked</title>"),
        (429, {}, b""),
        (200, {}, b'{"error": "invalid_client"}'),
    ],
)
def test_a_refusal_is_not_asked_for_again_within_its_pause(
    answer: Answer, client: Client, clock: Clock
) -> None:
    with api_server(Refusing(*answer)) as (server, api):
        auth = auth_for(server.url)
        first = refused(client, auth, server.url + "/a")
        for _ in range(20):
            again = refused(client, auth, server.url + "/a")
            assert (again.status, again.error) == (first.status, first.error)
        assert api.asked == 1
        for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
            before = api.asked
            clock.now += seconds - 0.001
            refused(client, auth, server.url + "/a")
            assert api.asked == before
            clock.now += 0.001
            assert refused(client, auth, server.url + "/a").retry_after == min(2 * seconds, 60)
            assert api.asked == before + 1
        api.answer = None
        clock.now += 60
        assert client.get(auth, server.url + "/a").status == 200


@each_in_some_client("header_and_pause", [("60", 60), ("7", 7), ("86400", 60)])
def test_the_pause_is_the_one_that_the_endpoint_asks_for(
    header_and_pause: tuple[str, int], client: Client, clock: Clock
) -> None:
    header, pause = header_and_pause
    with api_server(Refusing(429, {"Retry-After": header}, b"")) as (server, api):
        auth = auth_for(server.url)
        assert refused(client, auth, server.url + "/a").retry_after == pause
        clock.now += pause - 1
        assert refused(client, auth, server.url + "/a").retry_after == 1
        assert api.asked == 1
        api.answer = None
        clock.now += 1
        assert client.get(auth, server.url + "/a").status == 200


@each_in_some_client("status", [500, 502, 503])
def test_trouble_at_the_endpoint_begins_no_pause(status: int, client: Client, clock: Clock) -> None:
    with api_server(Refusing(status, {}, b"")) as (server, api):
        auth = auth_for(server.url)
        assert refused(client, auth, server.url + "/a").retry_after is None
        refused(client, auth, server.url + "/a")
        assert api.asked == 2
        api.answer = None
        assert client.get(auth, server.url + "/a").status == 200


def test_what_takes_the_token_at_hand_takes_it_in_the_pause(client: Client, clock: Clock) -> None:
    class Forbidding(Refusing):
        def __call__(self, request: Received) -> Answer:
            return self.refusal if request.path == "/no" else super().__call__(request)

    with api_server(Forbidding(429, {}, b"")) as (server, api):
        auth = auth_for(server.url)
        answer, api.answer = api.answer, None
        client.get(auth, server.url + "/a")
        api.answer = answer
        refused(client, auth, server.url + "/no")
        assert client.get(auth, server.url + "/a").status == 200
        assert refused(client, auth, server.url + "/no").retry_after == 1
        assert api.asked == 2


def test_forget_ends_the_pause(client: Client, clock: Clock) -> None:
    with api_server(Refusing(401, {}, b'{"error": "invalid_client"}')) as (server, api):
        auth = auth_for(server.url)
        refused(client, auth, server.url + "/a")
        api.answer = None
        auth.forget()
        assert client.get(auth, server.url + "/a").status == 200


def test_two_hundred_threads_at_a_refused_connection_make_one_try() -> None:
    """Those who wait share the failure, and do not try one after the other."""
    callers = 200
    tries: list[str] = []
    all_wait = threading.Event()

    class Refusing(requests.adapters.BaseAdapter):
        def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
            tries.append(request.url)
            assert all_wait.wait(30)
            raise requests.ConnectionError("refused", request=request)

        def close(self) -> None:
            pass

    session = requests.Session()
    session.mount("https://", Refusing())
    auth = auth_for("acme.thebase.co.il", session=session)

    def call() -> str:
        with pytest.raises(requests.ConnectionError) as caught:
            session.get("https://acme.thebase.co.il/a", auth=auth, timeout=60)
        return str(caught.value)

    with ThreadPoolExecutor(callers) as pool:
        results = [pool.submit(call) for _ in range(callers)]
        while auth._core.shared._flight is None:
            threading.Event().wait(0.002)
        wait_until_waiting(auth, callers - 1)
        all_wait.set()
        assert {one.result() for one in results} == {"refused"}
    assert len(tries) == 1


def test_a_body_that_stalls_for_one_caller_does_not_fail_those_with_more_time() -> None:
    """A timeout in a body is a ConnectionError to requests."""
    stalled = requests.ConnectionError(urllib3.exceptions.ReadTimeoutError(Any, "", "timed out"))  # type: ignore[arg-type]
    assert not _is_shared(stalled)
    assert not _is_shared(requests.ReadTimeout())
    assert _is_shared(requests.ConnectionError("refused"))
    assert not _is_shared(OSError())


@pytest.mark.parametrize("status", [429, 503])
def test_an_old_token_is_better_than_none(client: Client, status: int) -> None:
    """For a body that can be sent only once, whose token is past its time and still taken."""
    with api_server(Refusing(status, {}, b"")) as (server, api):
        api.token_answer["expires_in"] = 1e-9
        auth = auth_for(server.url)
        answer, api.answer = api.answer, None
        client.get(auth, server.url + "/a")
        api.answer = answer
        assert client.post(auth, server.url + "/a", one_time_body(client)).status == 200
    assert api.asked == 2
