"""What is special to httpx and httpx2: streams, timeouts, event hooks, flows driven by hand, subclasses."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import CLIENT_ID, CLIENT_SECRET
from tests.support.servers import Api, api_server
from tests.support.uploads import CONTENT, Chunks
from tests.support.world import DOMAIN, LIBRARIES, URL

TOKEN = {"access_token": "HsXI8gp1B5F2d5EDnGy3Tw", "token_type": "bearer", "expires_in": 3600}


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


def auth_of(library: Any, domain: str, **options: Any) -> Any:
    """An auth object of the module for this library alone."""
    adapter = import_module(f"thebase_auth.{library.__name__}")
    return adapter.TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET, **options)


class Transport:
    """Gives tokens, and rejects the first of them once. Keeps the requests."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.token_requests: list[Any] = []
        self.calls: list[Any] = []

    def __call__(self, request: Any) -> Any:
        request.read()
        if request.url.path == "/oauth/token":
            self.token_requests.append(request)
            token = f"token-{len(self.token_requests)}"
            return self.library.Response(200, json=TOKEN | {"access_token": token})
        self.calls.append(request)
        return self.library.Response(401 if len(self.calls) == 1 else 200)

    def client(self, auth: Any, **options: Any) -> Any:
        return self.library.Client(auth=auth, transport=self.library.MockTransport(self), **options)


# Timeouts


@pytest.mark.parametrize(
    ("timeout", "of_the_token_request"),
    [
        (3.0, {"connect": 3.0, "read": 3.0, "write": 3.0, "pool": 3.0}),
        ({"timeout": 1, "read": 2}, {"connect": 1, "read": 2, "write": 1, "pool": 1}),
        (None, {"connect": 9.0, "read": 9.0, "write": 9.0, "pool": 9.0}),
        (100.0, {"connect": 9.0, "read": 9.0, "write": 9.0, "pool": 9.0}),
    ],
)
def test_token_request_has_the_shorter_timeouts_of_call_and_auth_object(
    library: Any, timeout: Any, of_the_token_request: dict[str, float]
) -> None:
    if isinstance(timeout, dict):
        timeout = library.Timeout(**timeout)
    transport = Transport(library)
    with transport.client(auth_of(library, DOMAIN, timeout=9.0)) as client:
        client.get(URL, timeout=timeout)
    first, replay = [one.extensions["timeout"] for one in transport.calls]
    assert first == replay == library.Timeout(timeout).as_dict()
    assert [one.extensions["timeout"] for one in transport.token_requests] == [of_the_token_request] * 2


# Streams


@pytest.mark.parametrize(("content", "status"), [(b"in memory", 200), (Chunks(), 401)])
def test_last_response_is_not_read_for_a_caller_who_streams(library: Any, content: Any, status: int) -> None:
    with api_server() as (server, api), library.Client(auth=auth_of(library, server.url)) as client:
        client.get(server.url + "/a")
        api.revoke()
        with client.stream("POST", server.url + "/a", content=content) as response:
            assert response.status_code == status
            assert not response.is_stream_consumed
            assert response.read() == (b"accepted" if status == 200 else b"rejected")


class Progress:
    """A file in a progress bar that can be read and measured, but not rewound."""

    def __init__(self, file: Any) -> None:
        self.read, self.fileno = file.read, file.fileno


def test_multipart_with_a_file_that_cannot_seek_is_sent_once(library: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    with api_server() as (server, api), library.Client(auth=auth_of(library, server.url)) as client:
        client.get(server.url + "/warm-up")
        api.revoke()
        with path.open("rb") as file:
            response = client.post(server.url + "/a", files={"file": Progress(file)})
    assert response.status_code == 401
    assert len(server.to("/a")) == 1


# Event hooks


def raise_for_status(response: Any) -> None:
    response.raise_for_status()


async def raise_for_status_async(response: Any) -> None:
    response.raise_for_status()


@pytest.mark.anyio
async def test_hook_that_raises_for_a_401_fails_one_call_with_an_expired_token(library: Any) -> None:
    """The documentation of httpx shows this hook. It hides every 401 from every auth flow."""
    api = Api()
    api.token_response["expires_in"] = 1e-9
    with api_server(api) as (server, _):
        url = server.url + "/a"
        hooks: dict[str, Any] = {"response": [raise_for_status]}
        with library.Client(auth=auth_of(library, server.url), event_hooks=hooks) as client:
            client.get(url)
            api.revoke()
            with pytest.raises(library.HTTPStatusError):
                client.get(url)
            for _ in range(2):  # from now on an expired token is renewed before a request
                api.revoke()
                assert client.get(url).status_code == 200
        hooks = {"response": [raise_for_status_async]}
        async with library.AsyncClient(auth=auth_of(library, server.url), event_hooks=hooks) as async_client:
            await async_client.get(url)
            api.revoke()
            with pytest.raises(library.HTTPStatusError):
                await async_client.get(url)
            api.revoke()
            assert (await async_client.get(url)).status_code == 200


def test_call_without_a_response_keeps_an_unexpired_token(library: Any) -> None:
    def give_up(response: Any) -> None:
        if response.request.url.path == "/given-up":
            raise KeyboardInterrupt

    hooks = {"response": [give_up]}
    with (
        api_server() as (server, api),
        library.Client(auth=auth_of(library, server.url), event_hooks=hooks) as client,
    ):
        client.get(server.url + "/warm-up")
        for content in (b"abc", Chunks()):
            with pytest.raises(KeyboardInterrupt):
                client.post(server.url + "/given-up", content=content)
        assert client.get(server.url + "/a").status_code == 200
    assert api.token_requests == 1


def test_call_cancelled_while_its_401_is_read_keeps_the_token(library: Any) -> None:
    class Interrupted(library.SyncByteStream):
        def __iter__(self) -> Any:
            raise KeyboardInterrupt

    def respond(request: Any) -> Any:
        if request.url.path == "/oauth/token":
            return library.Response(200, json=TOKEN)
        return library.Response(401, headers={"Content-Length": "8"}, stream=Interrupted())

    auth = auth_of(library, DOMAIN)
    with library.Client(auth=auth, transport=library.MockTransport(respond)) as client:
        with pytest.raises(KeyboardInterrupt):
            client.get(URL)
    assert auth.token == TOKEN["access_token"]


@pytest.mark.parametrize("header", ["Basic c29tZW9uZTplbHNl", "Bearer of-the-user"])
def test_401_for_a_header_that_a_hook_of_the_user_wrote_is_the_callers(library: Any, header: str) -> None:
    def sign_otherwise(request: Any) -> None:
        if request.url.path != "/oauth/token":
            request.headers["Authorization"] = header

    hooks = {"request": [sign_otherwise]}
    with (
        api_server() as (server, api),
        library.Client(auth=auth_of(library, server.url), event_hooks=hooks) as client,
    ):
        assert client.get(server.url + "/a").status_code == 401
    assert api.token_requests == 1
    assert len(server.to("/a")) == 1


# Requests


def test_request_signed_again_meanwhile_is_replayed_with_the_newer_token(library: Any) -> None:
    auth, request = auth_of(library, DOMAIN), library.Request("GET", URL)

    def sign(token: str) -> Any:
        flow = auth.sync_auth_flow(request)
        next(flow)
        response = library.Response(200, json={"access_token": token})
        response.request = library.Request("POST", URL)
        assert flow.send(response).headers["Authorization"] == f"Bearer {token}"
        return flow

    first = sign("old")
    auth.forget()
    second = sign("new")
    assert first.send(library.Response(401, request=request)).headers["Authorization"] == "Bearer new"
    second.close()


def test_request_of_a_subclass_with_its_own_constructor_is_replayed(library: Any) -> None:
    class Call(library.Request):
        def __init__(self, path: str) -> None:
            super().__init__("POST", f"https://{DOMAIN}{path}", json={"name": "משה"})

    transport = Transport(library)
    with transport.client(auth_of(library, DOMAIN)) as client:
        response = client.send(Call("/v2/leads/create"))
    assert response.status_code == 200
    assert [one.headers["Authorization"] for one in transport.calls] == ["Bearer token-1", "Bearer token-2"]
    first, second = transport.calls
    assert first.content == second.content == response.request.content
    assert (second.method, str(second.url)) == ("POST", f"https://{DOMAIN}/v2/leads/create")


def test_body_that_a_redirect_replaced_with_a_one_shot_is_not_sent_twice(library: Any) -> None:
    auth = auth_of(library, DOMAIN)
    flow = auth.sync_auth_flow(library.Request("POST", URL, content=b"first"))
    token_request = next(flow)
    headers = flow.send(library.Response(200, json=TOKEN, request=token_request)).headers
    redirected = library.Request("POST", URL, content=iter([b"second"]), headers=headers)
    with pytest.raises(StopIteration):
        flow.send(library.Response(401, request=redirected))


def test_address_in_another_spelling_is_the_domain(library: Any) -> None:
    transport = Transport(library)
    with transport.client(auth_of(library, "[::1]")) as client:
        assert client.get("https://[0:0:0:0:0:0:0:1]/v2/users").status_code == 200
    assert len(transport.calls) == 2
