"""Tools that mock, record, watch or rewrite what requests and httpx send find what they expect."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests
import responses
from requests.adapters import HTTPAdapter
from requests.hooks import dispatch_hook

from tests.support.adapters import FakeAdapter, response_to
from tests.support.clients import auth_for
from tests.support.permission import ApiWithoutPermission
from tests.support.servers import BASIC, Api, Received, api_server
from tests.support.world import DOMAIN, LIBRARIES, URL

# Tools that replace what sends


@pytest.mark.parametrize("where", ["class", "session"])
def test_tool_that_replaces_send_gets_the_token_request(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def send(request: requests.PreparedRequest, **_: Any) -> requests.Response:
        seen.append((request.method, request.url))
        return response_to(request, b'{"access_token": "mocked"}')

    session = requests.Session()
    if where == "class":
        monkeypatch.setattr(requests.Session, "send", lambda self, request, **options: send(request))
    else:
        session.send = send  # type: ignore[method-assign]
    session.auth = auth_for(DOMAIN, session=session)
    assert session.get(URL).request.headers["Authorization"] == "Bearer mocked"
    assert seen == [("POST", f"https://{DOMAIN}/oauth/token"), ("GET", URL)]


@responses.activate
def test_token_request_can_be_looked_at_in_responses() -> None:
    responses.post(f"https://{DOMAIN}/oauth/token", json={"access_token": "abc"})
    responses.get(URL, json={})
    requests.get(URL, auth=auth_for(DOMAIN), timeout=5)
    assert responses.calls[0].request.headers["Authorization"] == BASIC
    assert responses.calls[0].request.body == b"grant_type=client_credentials"


@pytest.mark.parametrize("has_raw", [True, False])
def test_response_that_a_tool_made_of_bytes_is_replayed(has_raw: bool) -> None:
    def respond(request: requests.PreparedRequest) -> requests.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        status, _, content = api(Received("GET", request.path_url, headers, b""))
        response = response_to(request, status=status)
        response.raw, response._content = None, content
        if has_raw:
            response.raw, response._content = io.BytesIO(content), False  # type: ignore[assignment]
        return response

    api = Api()
    session = FakeAdapter(respond).session()
    session.auth = auth_for(DOMAIN, session=session)
    assert session.get(URL).content == b"accepted"
    api.revoke()
    response = session.get(URL)
    assert response.content == b"accepted"
    [rejected] = response.history
    assert rejected.content == (b"" if has_raw else b"rejected")
    if has_raw:
        assert list(rejected.iter_content(8)) == []
    assert api.token_requests == 2


def test_401_without_a_connection_costs_one_call() -> None:
    class Bare(HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            response = super().send(*args, **kwargs)
            del response.connection
            return response

    with api_server() as (server, api), requests.Session() as session:
        session.mount("http://", Bare())
        session.auth = auth_for(server.url)
        session.get(server.url + "/a")
        api.revoke()
        assert session.get(server.url + "/a").status_code == 401
        assert session.get(server.url + "/a").status_code == 200


# Tools that rewrite or repeat


def test_hooks_that_a_tool_calls_twice_replay_once() -> None:
    """requests-cache does, with more arguments than an adapter accepts, and with its own class."""

    class Unhashable(requests.Response):
        __hash__ = None  # type: ignore[assignment]

    class Twice(requests.Session):
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            hooks, request.hooks = request.hooks, {"response": []}
            response = super().send(request, **options)
            response.__class__ = Unhashable
            first = dispatch_hook("response", hooks, response, expire_after=60, **options)
            assert dispatch_hook("response", hooks, first, expire_after=60, **options) is first
            return first

    with api_server(ApiWithoutPermission("/no")) as (server, api), Twice() as session:
        session.auth = auth_for(server.url)
        assert session.get(server.url + "/no").status_code == 401
        api.revoke()
        assert session.get(server.url + "/a").status_code == 200
    assert api.token_requests == 3
    assert len(server.to("/no")) == 2


# What else is in the way of a token request


@pytest.mark.parametrize("library", LIBRARIES)
def test_user_agent_in_any_encoding_goes_with_the_token_request(library: Any) -> None:
    agent = "מוצר/1".encode()
    seen = []

    def handler(request: Any) -> Any:
        seen.append(dict(request.headers.raw)[b"User-Agent"])
        return library.Response(200, json={"access_token": "t"})

    with library.Client(auth=auth_for(DOMAIN), transport=library.MockTransport(handler)) as client:
        client.headers = {"User-Agent": agent}
        assert client.get(URL).status_code == 200
    assert seen == [agent, agent]


def test_token_request_to_loopback_bypasses_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Basic over plain http is for this machine only."""
    with api_server() as (server, _), api_server() as (proxy, _):
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        requests.get(server.url + "/a", auth=auth_for(server.url), timeout=10, proxies={"http": ""})
    assert [one.path for one in proxy.received if one.authorization == BASIC] == []
    assert server.received[0].authorization == BASIC
