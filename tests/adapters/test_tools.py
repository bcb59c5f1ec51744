"""Tools that record, watch, rewrite or replace what requests and httpx send find what they expect.

What firewalls look at is here, too: the User-Agent of the token request.
"""

from __future__ import annotations

import io
import json
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import httpx2
import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.hooks import dispatch_hook

from tests.support.clients import CLIENT_SECRET, Client, auth_for
from tests.support.forbidding import Forbidding
from tests.support.servers import BASIC, Api, Received, api_server
from tests.support.world import DOMAIN
from thebase_auth.requests import TheBaseAuth


def test_the_header_of_a_signed_request_is_plain_text(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        response = client.get(auth, server.url + "/a").response
        for one in (*response.history, response):
            assert type(one.request.headers["Authorization"]) is str
        assert (
            json.loads(json.dumps(dict(response.request.headers)))[
                "Authorization" if client.name == "requests" else "authorization"
            ]
            == "Bearer token-2"
        )
        assert pickle.loads(pickle.dumps(response)).request.headers["Authorization"] == "Bearer token-2"


def test_a_tool_that_rebuilds_the_headers_does_not_end_renewal() -> None:
    class Rebuilding(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *a: Any, **k: Any) -> requests.Response:
            headers = {
                name.encode().decode(): value.encode().decode() for name, value in request.headers.items()
            }
            request.headers = requests.structures.CaseInsensitiveDict(headers)
            return super().send(request, *a, **k)

    with api_server() as (server, api), requests.Session() as session:
        session.mount("http://", Rebuilding())
        session.auth = auth_for(server.url, session=session)
        for _ in range(3):
            api.revoke()
            assert session.get(server.url + "/a").status_code == 200


def test_two_auth_objects_may_sign_one_request() -> None:
    with api_server() as (server, api), requests.Session() as session:
        one, other = auth_for(server.url), auth_for(server.url)
        for _ in range(3):
            api.revoke()
            prepared = session.prepare_request(requests.Request("GET", server.url + "/a", auth=one))
            assert session.send(other(prepared)).status_code == 200


def test_what_replaces_session_send_sees_the_token_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mocks, instrumentation and rate limiters do; nothing goes past them to the network."""
    seen = []

    def send(self: Any, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        seen.append((request.method, request.url))
        response = requests.Response()
        response.status_code = 200
        response.request, response.url = request, request.url or ""
        response._content = b'{"access_token": "mocked", "token_type": "bearer"}'
        for hook in request.hooks["response"]:
            hook(response)
        return response

    monkeypatch.setattr(requests.Session, "send", send)
    response = requests.get(f"https://{DOMAIN}/a", auth=auth_for(DOMAIN), timeout=1)
    assert response.request.headers["Authorization"] == "Bearer mocked"
    assert seen == [("POST", f"https://{DOMAIN}/oauth/token"), ("GET", f"https://{DOMAIN}/a")]


@pytest.mark.parametrize("user_agent", ["crm-sync/2.1", None])
def test_the_token_request_has_the_user_agent_of_the_call(client: Client, user_agent: str | None) -> None:
    headers = {} if user_agent is None else {"User-Agent": user_agent}
    with api_server() as (server, _):
        client.get(auth_for(server.url), server.url + "/a", headers=headers)
    agents = {one.headers["user-agent"] for one in server.received}
    assert len(server.received) == 2
    assert len(agents) == 1
    assert agents == {user_agent} if user_agent else all(agents)


def test_the_token_request_of_a_loopback_domain_goes_past_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Basic over plain http is for this machine only."""
    with api_server() as (server, _), api_server(Api()) as (proxy, _):
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        auth = auth_for(server.url)
        requests.get(server.url + "/a", auth=auth, timeout=10, proxies={"http": ""})
    assert [one.authorization for one in proxy.received if one.authorization == BASIC] == []
    assert server.received[0].authorization == BASIC


def test_a_netrc_that_cannot_be_read_does_no_harm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bad = tmp_path / "netrc"
    bad.write_text("machine without an end and\nlogin")
    monkeypatch.setenv("NETRC", str(bad))
    with api_server() as (server, _), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.trust_env = False
        assert session.get(server.url + "/a").status_code == 200


@pytest.mark.parametrize("again", [lambda s, p: s.send(p), lambda s, p: s.send(p.copy())])
def test_a_prepared_request_that_is_polled_is_renewed_at_each_expiry(
    again: Callable[..., requests.Response],
) -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a"))
        for poll in range(9):
            if poll % 2:
                api.revoke()
            assert again(session, prepared).status_code == 200


def test_an_httpx_request_that_is_polled_is_renewed_at_each_expiry() -> None:
    with api_server() as (server, api), httpx.Client(auth=auth_for(server.url)) as client:
        request = client.build_request("GET", server.url + "/a")
        for poll in range(9):
            if poll % 2:
                api.revoke()
            assert client.send(request).status_code == 200


def test_a_failed_token_request_of_a_mock_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(self: Any, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        raise requests.ConnectionError("no mock for this", request=request)

    monkeypatch.setattr(requests.Session, "send", send)
    auth = auth_for(DOMAIN)
    prepared = requests.Request("GET", f"https://{DOMAIN}/a").prepare()
    with pytest.raises(requests.ConnectionError) as caught:
        auth(prepared)
    assert caught.value.request is not None
    assert "Authorization" not in caught.value.request.headers
    assert CLIENT_SECRET not in repr(vars(caught.value.request))


class _Body:
    """A content that is read once, and has no more than `read`, as those of caches and recorders."""

    closed = False

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int = -1) -> bytes:
        piece, self._content = self._content[:size], self._content[size:]
        self.closed = not piece
        return piece

    def close(self) -> None:
        self.closed = True


class _Read1Takes(io.BytesIO):
    """As vcrpy makes them: `read1` exists, and takes no more than a size."""

    reads_nothing = False

    def stream(self, size: int, decode_content: bool = False) -> Iterator[bytes]:
        while piece := self.read(size):
            yield piece

    connection = object()

    def release_conn(self) -> None:
        pass


@pytest.mark.parametrize(
    "raw",
    [
        lambda content: urllib3.HTTPResponse(cast(Any, _Body(content)), preload_content=False),
        lambda content: urllib3.HTTPResponse(io.BytesIO(content), preload_content=False),
        _Read1Takes,
        io.BytesIO,
    ],
    ids=["urllib3 over a reader", "urllib3 over bytes", "with another read1", "no urllib3"],
)
def test_an_answer_that_a_tool_has_made_is_read(raw: Callable[[bytes], Any]) -> None:
    class Making(requests.adapters.BaseAdapter):
        api = Api()

        def send(self, request: requests.PreparedRequest, *a: Any, **k: Any) -> requests.Response:
            path = "/oauth/token" if "token" in (request.url or "") else "/a"
            headers = {name.lower(): value for name, value in request.headers.items()}
            status, _, content = self.api(Received("GET", path, headers, b""))
            response = requests.Response()
            response.status_code, response.raw = status, raw(content)
            response.request, response.url = request, request.url or ""
            response.connection = self  # type: ignore[assignment]
            return response

        def close(self) -> None:
            pass

    with requests.Session() as session:
        adapter = Making()
        session.mount("https://", adapter)
        session.auth = auth_for(DOMAIN, session=session)
        for _ in range(2):
            assert session.get(f"https://{DOMAIN}/a").content == b"accepted"
            adapter.api.revoke()
    assert adapter.api.token_requests == 2


def test_hooks_that_a_tool_calls_a_second_time_do_nothing_more() -> None:
    """requests-cache does, and gives them more than an adapter takes."""

    class Unhashable(requests.Response):
        __hash__ = None  # type: ignore[assignment]

    class Twice(requests.Session):
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            response = super().send(request, **options)
            response.__class__ = Unhashable
            again = dispatch_hook("response", request.hooks, response, allow_redirects=True)
            assert again is response
            return response

    with api_server(Forbidding("/no")) as (server, api), Twice() as session:
        session.auth = auth_for(server.url)
        assert session.get(server.url + "/no").status_code == 401
        assert session.get(server.url + "/a").status_code == 200
    assert api.token_requests == 2
    assert len(server.to("/no")) == 2


def test_a_hook_may_be_given_more_than_an_adapter_takes() -> None:
    with api_server() as (server, api), requests.Session() as session:
        auth = auth_for(server.url)
        session.get(server.url + "/a", auth=auth)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a", auth=auth))
        api.revoke()
        hooks, prepared.hooks = prepared.hooks, {"response": []}
        response = session.send(prepared)
        answer = dispatch_hook("response", hooks, response, allow_redirects=True, timeout=5)
    assert (response.status_code, answer.status_code) == (401, 200)


def test_a_session_whose_own_send_was_replaced_sends_the_token_request_by_it() -> None:
    session, seen = requests.Session(), []

    def send(request: requests.PreparedRequest, **_: Any) -> requests.Response:
        seen.append(request.url)
        response = requests.Response()
        response.status_code = 200
        response._content = b'{"access_token": "mocked"}'
        response.request = request
        return response

    session.send = send  # type: ignore[method-assign]
    session.auth = auth_for(DOMAIN, session=session)
    assert session.get(f"https://{DOMAIN}/a").status_code == 200
    assert seen == [f"https://{DOMAIN}/oauth/token", f"https://{DOMAIN}/a"]


@pytest.mark.parametrize("client_id", ["id", ":"])
def test_no_frame_of_a_refused_setting_has_a_secret_that_could_be_cut(client_id: str) -> None:
    """Some tools cut long texts before they take their repr."""
    secret = "canary" * 40
    with pytest.raises(ValueError) as caught:
        TheBaseAuth(DOMAIN, client_id, secret, timeout=-1)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]
    assert frames
    for frame in frames:
        assert "canary" not in f"{[str(value)[:50] for value in frame.f_locals.values()]}"


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_user_agent_in_any_encoding_goes_along(library: Any) -> None:
    agent = "מוצר/1".encode()
    seen = []

    def handler(request: Any) -> Any:
        seen.append(dict(request.headers.raw)[b"User-Agent"])
        return library.Response(200, json={"access_token": "t"})

    transport = library.MockTransport(handler)
    with library.Client(auth=auth_for(DOMAIN), transport=transport) as client:
        client.headers = {"User-Agent": agent}
        assert client.get(f"https://{DOMAIN}/a").status_code == 200
    assert seen == [agent, agent]
