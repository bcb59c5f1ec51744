"""What is of httpx and httpx2 alone: streams, transports, limits, hand-driven flows, and who may call us."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import requests
import respx

from tests.support.clients import CLIENT_ID, CLIENT_SECRET, auth_for
from tests.support.servers import Api, api_server
from tests.support.world import LIBRARIES
from thebase_auth import _httpx
from thebase_auth._core.token import Token
from thebase_auth.caches import FileTokenCache
from thebase_auth.testing import serve

DOMAIN = "acme.thebase.co.il"
URL = f"https://{DOMAIN}/v2/users"
TOKEN = {"access_token": "HsXI8gp1B5F2d5EDnGy3Tw", "token_type": "bearer", "expires_in": 3600}


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


def auth_of(library: Any, domain: str, **options: Any) -> Any:
    from importlib import import_module

    adapter = import_module(f"thebase_auth.{library.__name__}")
    return adapter.TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET, **options)


@respx.mock
def test_it_works_with_respx_as_users_write_it() -> None:
    token = respx.post(f"https://{DOMAIN}/oauth/token").mock(return_value=httpx.Response(200, json=TOKEN))
    users = respx.get(URL).mock(
        side_effect=[
            httpx.Response(200, json={"items": []}),
            httpx.Response(401),
            httpx.Response(200, json={"items": [{"name": "משה"}]}),
        ]
    )
    with httpx.Client(auth=auth_of(httpx, DOMAIN)) as client:
        client.get(URL)
        token.mock(return_value=httpx.Response(200, json=TOKEN | {"access_token": "another"}))
        assert client.get(URL).json()["items"][0]["name"] == "משה"
    assert token.call_count == 2
    assert [call.request.headers["Authorization"] for call in users.calls] == [
        "Bearer HsXI8gp1B5F2d5EDnGy3Tw",
        "Bearer HsXI8gp1B5F2d5EDnGy3Tw",
        "Bearer another",
    ]


@pytest.mark.anyio
async def test_it_works_with_respx_in_async_clients() -> None:
    async with respx.mock:
        respx.post(f"https://{DOMAIN}/oauth/token").respond(json=TOKEN)
        route = respx.post(f"https://{DOMAIN}/v2/leads/create").respond(201, json={"id": "1"})
        async with httpx.AsyncClient(auth=auth_of(httpx, DOMAIN)) as client:
            answer = await client.post(f"https://{DOMAIN}/v2/leads/create", json={"name": "משה"})
        assert answer.status_code == 201
        assert json.loads(route.calls.last.request.content) == {"name": "משה"}


class Events:
    """An API whose answer goes on only after its first event has been seen."""

    def __init__(self) -> None:
        self.seen = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/oauth/token":
            body = b'{"access_token": "abc", "token_type": "bearer"}'
            await send({"type": "http.response.body", "body": body})
            return
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        while not self.seen.is_set():
            await asyncio.sleep(0.005)
        await send({"type": "http.response.body", "body": b"data: 2\n\n"})


@pytest.mark.anyio
async def test_a_stream_of_server_sent_events_begins_at_once(library: Any) -> None:
    events = Events()
    with serve(events) as url:
        async with library.AsyncClient(auth=auth_of(library, url), timeout=20) as client:
            async with client.stream("GET", url + "/events") as response:
                received = []
                async for chunk in response.aiter_raw():
                    received.append(chunk)
                    events.seen.set()
    assert received == [b"data: 1\n\n", b"data: 2\n\n"]


def test_a_stream_begins_at_once_in_sync_clients_and_in_requests(library: Any) -> None:
    events = Events()
    with serve(events) as url:
        auth = auth_for(url)
        with library.Client(auth=auth, timeout=20) as client:
            with client.stream("GET", url + "/events") as response:
                chunks = response.iter_raw()
                assert next(chunks) == b"data: 1\n\n"
                events.seen.set()
                assert list(chunks) == [b"data: 2\n\n"]
        events.seen.clear()
        with requests.get(url + "/events", auth=auth, stream=True, timeout=20) as streamed:
            assert streamed.raw.readline() == b"data: 1\n"
            events.seen.set()
            assert streamed.raw.read() == b"\ndata: 2\n\n"


@pytest.mark.anyio
async def test_a_streamed_answer_after_a_replay_is_not_read_for_the_caller(library: Any) -> None:
    with api_server() as (server, api):
        async with library.AsyncClient(auth=auth_of(library, server.url)) as client:
            await client.get(server.url + "/a")
            api.revoke()
            async with client.stream("GET", server.url + "/a") as response:
                assert not response.is_stream_consumed
                assert await response.aread() == b"accepted"
                assert [one.status_code for one in response.history] == [401]


def test_the_token_request_has_the_timeouts_of_the_call(library: Any) -> None:
    seen = []

    def handler(request: Any) -> Any:
        seen.append((request.url.path, request.extensions["timeout"]))
        return library.Response(200, json=TOKEN)

    def timeouts(**options: Any) -> dict[str, Any]:
        del seen[:]
        with library.Client(
            auth=auth_of(library, DOMAIN, timeout=9.0), transport=library.MockTransport(handler)
        ) as client:
            client.get(URL, **options)
        assert seen[0][0] == "/oauth/token"
        return dict(seen[0][1])

    assert timeouts(timeout=3.0) == {"connect": 3.0, "read": 3.0, "write": 3.0, "pool": 3.0}
    assert timeouts(timeout=library.Timeout(1, read=2)) == {"connect": 1, "read": 2, "write": 1, "pool": 1}
    assert timeouts(timeout=None) == {"connect": 9.0, "read": 9.0, "write": 9.0, "pool": 9.0}


def test_a_replay_has_the_timeouts_of_the_call(library: Any) -> None:
    seen: list[dict[str, float]] = []

    def handler(request: Any) -> Any:
        if request.url.path == "/oauth/token":
            return library.Response(200, json=TOKEN | {"access_token": f"t{len(seen)}"})
        seen.append(request.extensions["timeout"])
        return library.Response(401 if len(seen) == 1 else 200)

    transport = library.MockTransport(handler)
    with library.Client(auth=auth_of(library, DOMAIN), transport=transport) as client:
        client.get(URL, timeout=3.0)
    assert seen == [{"connect": 3.0, "read": 3.0, "write": 3.0, "pool": 3.0}] * 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    "domain", ["acme.thebase.co.il", "acme.thebase.co.il:8443", "http://127.0.0.1:8000", "http://[::1]:80"]
)
async def test_a_request_with_a_token_at_hand_goes_the_short_way(
    library: Any, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_httpx, "Flow", None)
    auth = auth_of(library, domain)
    auth._core.shared.token = Token("at hand")
    for request in (
        library.Request("GET", auth.base_url + "/v2/users?page=2"),
        library.Request("POST", auth.base_url, json={"name": "a"}),
    ):
        assert next(auth.sync_auth_flow(request)).headers["Authorization"] == "Bearer at hand"
        del request.headers["Authorization"]
        flow = auth.async_auth_flow(request)
        assert (await anext(flow)).headers["Authorization"] == "Bearer at hand"
        await flow.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("domain", "url"),
    [
        ("acme.thebase.co.il", "https://acme.thebase.co.il:8443/"),
        ("acme.thebase.co.il:8443", "https://acme.thebase.co.il/"),
        ("acme.thebase.co.il:8443", "https://acme.thebase.co.il:8444/"),
        ("http://127.0.0.1:8000", "http://127.0.0.1/"),
        ("http://[::1]:8000", "http://[::1]/"),
    ],
)
async def test_another_port_of_the_host_is_another_origin(library: Any, domain: str, url: str) -> None:
    auth = auth_of(library, domain)
    auth._core.shared.token = Token("at hand")
    request = library.Request("GET", url)
    assert "Authorization" not in next(auth.sync_auth_flow(request)).headers
    flow = auth.async_auth_flow(request)
    assert "Authorization" not in (await anext(flow)).headers
    await flow.aclose()


def test_a_flow_can_be_driven_by_hand(library: Any) -> None:
    auth = auth_of(library, DOMAIN)
    request = library.Request("GET", URL)
    flow = auth.sync_auth_flow(request)
    token_request = next(flow)
    assert (token_request.method, str(token_request.url)) == ("POST", f"https://{DOMAIN}/oauth/token")
    assert token_request.extensions["timeout"]["read"] == pytest.approx(30)
    answer = library.Response(200, json=TOKEN, request=token_request)
    assert flow.send(answer) is request
    with pytest.raises(StopIteration):
        flow.send(library.Response(200, request=request))


def test_the_shared_flow_of_the_base_class_is_refused(library: Any) -> None:
    """It would block an event loop or leave a request unsigned; a wrapper must take the right one."""
    with pytest.raises(TypeError, match="async_auth_flow"):
        auth_of(library, DOMAIN).auth_flow(library.Request("GET", URL))


def test_the_settings_can_come_from_the_environment(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DOMAIN", DOMAIN), ("CLIENT_ID", "id"), ("CLIENT_SECRET", "secret")):
        monkeypatch.setenv(f"THEBASE_{name}", value)
    auth = type(auth_of(library, DOMAIN)).from_env(cache=FileTokenCache("/tmp/x.json"), timeout=3)
    assert isinstance(auth._core._cache, FileTokenCache)
    assert repr(auth) == f"TheBaseAuth('{DOMAIN}', client_id='id')"
    assert auth._core.timeout == 3


def test_a_request_that_lost_its_stream_is_left_to_the_library(library: Any) -> None:
    whole = library.Request("POST", URL, content=[b"abc"])
    pickled = pickle.loads(pickle.dumps(whole))
    transport = library.MockTransport(lambda _: library.Response(200, json=TOKEN))
    with library.Client(auth=auth_of(library, DOMAIN), transport=transport) as client:
        with pytest.raises(library.StreamClosed):
            client.send(pickled)


def test_it_does_not_sign_for_requests(library: Any) -> None:
    with pytest.raises(TypeError, match="thebase_auth.TheBaseAuth, which serves all three"):
        requests.get(URL, auth=auth_of(library, DOMAIN), timeout=5)


def test_the_replay_can_be_looked_at_as_the_first_request_could(library: Any) -> None:
    seen: list[bytes] = []

    def handler(request: Any) -> Any:
        if request.url.path == "/oauth/token":
            return library.Response(200, json=TOKEN | {"access_token": f"t{len(seen)}"})
        seen.append(request.content)
        return library.Response(401 if len(seen) == 1 else 200, json={})

    with library.Client(auth=auth_of(library, DOMAIN), transport=library.MockTransport(handler)) as client:
        response = client.post(URL, json={"name": "משה"})
    assert response.request.content == seen[0] == seen[1]


@pytest.mark.anyio
async def test_a_body_that_changes_between_two_readings_is_not_replayed(library: Any) -> None:
    class Growing:
        passes = 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            self.passes += 1
            for _ in range(self.passes):
                yield b"more"

    with api_server() as (server, api):
        async with library.AsyncClient(auth=auth_of(library, server.url)) as client:
            await client.get(server.url + "/a")
            api.revoke()
            response = await client.post(server.url + "/b", content=Growing())
            assert (response.status_code, response.content) == (401, b"refused")
            assert (await client.get(server.url + "/a")).status_code == 200
    assert [one.body for one in server.to("/b")] == [b"more"]


@pytest.mark.anyio
async def test_ten_requests_of_one_object_are_renewed_once(library: Any) -> None:
    """One Request sent by many tasks at once: what each was refused is its own."""
    with api_server() as (server, api):
        async with library.AsyncClient(auth=auth_of(library, server.url)) as client:
            await client.get(server.url + "/a")
            api.revoke()
            request = client.build_request("GET", server.url + "/a")
            statuses = []

            async def send() -> None:
                statuses.append((await client.send(request)).status_code)

            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(send)
    assert statuses == [200] * 10
    assert api.token_requests == 2


@pytest.mark.parametrize("header", ["Basic c29tZW9uZTplbHNl", "Bearer of-the-user"])
def test_a_401_for_something_else_than_our_token_is_the_callers(library: Any, header: str) -> None:
    """A hook of the user replaces our header; what the API refuses then is not ours to renew."""

    def sign_otherwise(request: Any) -> None:
        if request.url.path != "/oauth/token":
            request.headers["Authorization"] = header

    api = Api()
    hooks = {"request": [sign_otherwise]}
    with (
        api_server(api) as (server, _),
        library.Client(auth=auth_of(library, server.url), event_hooks=hooks) as client,
    ):
        assert client.get(server.url + "/a").status_code == 401
    assert api.token_requests == 1
    assert len(server.to("/a")) == 1


@pytest.mark.skipif(not hasattr(httpx2, "alias_httpx"), reason="needs a newer httpx2")
def test_httpx_may_be_an_alias_of_httpx2() -> None:
    program = f"""
import httpx2
httpx2.alias_httpx()
import httpx
from thebase_auth import TheBaseAuth
def handler(request):
    return httpx.Response(200, json={TOKEN!r})
auth = TheBaseAuth("{DOMAIN}", "id", "secret")
with httpx.Client(auth=auth, transport=httpx.MockTransport(handler)) as client:
    response = client.get("{URL}")
assert response.request.headers["Authorization"] == "Bearer {TOKEN["access_token"]}"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


def test_an_installed_library_that_is_broken_is_not_taken_for_a_missing_one() -> None:
    program = """
import sys
sys.modules["idna"] = None  # requests and httpx cannot be imported without it
try:
    from thebase_auth import TheBaseAuth
except ModuleNotFoundError as error:
    assert "idna" in str(error), error
else:
    raise SystemExit("it was passed over")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


def test_the_package_lists_its_names() -> None:
    import thebase_auth

    assert set(thebase_auth.__all__) <= set(dir(thebase_auth))


@pytest.mark.parametrize("other", LIBRARIES, ids=lambda other: other.__name__)
def test_it_does_not_sign_for_the_other_of_the_two(library: Any, other: Any) -> None:
    if other is library:
        pytest.skip("its own")
    transport = other.MockTransport(lambda _: other.Response(200, json=TOKEN))
    with other.Client(auth=auth_of(library, DOMAIN), transport=transport) as client:
        with pytest.raises(TypeError, match="which serves all three"):
            client.get(URL)
