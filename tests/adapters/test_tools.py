"""Tools that record, watch, rewrite or replace what requests and httpx send find what they expect."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.support.clients import CLIENT_SECRET, Client, auth_for
from tests.support.servers import BASIC, Api, api_server
from tests.support.world import DOMAIN


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
        assert (
            pickle.loads(pickle.dumps(response)).request.headers["Authorization"]
            == "Bearer token-2"
        )


def test_a_tool_that_rebuilds_the_headers_does_not_end_renewal() -> None:
    class Rebuilding(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *a: Any, **k: Any) -> requests.Response:
            headers = {
                name.encode().decode(): value.encode().decode()
                for name, value in request.headers.items()
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
def test_the_token_request_has_the_user_agent_of_the_call(
    client: Client, user_agent: str | None
) -> None:
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


def test_a_netrc_that_cannot_be_read_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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
    assert "Authorization" not in caught.value.request.headers
    assert CLIENT_SECRET not in repr(vars(caught.value.request))
