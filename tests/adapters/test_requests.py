"""What is special to requests: the session option, timeouts, hooks, failed token requests."""

from __future__ import annotations

import socket
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

from tests.support.adapters import FakeAdapter, response_to
from tests.support.broken import broken_server
from tests.support.clients import RecordingAdapter, auth_for
from tests.support.servers import Api, Received, Response, Server, api_server
from tests.support.uploads import Chunks
from tests.support.world import DOMAIN, URL


def refuse_hook(response: requests.Response, **_: Any) -> None:
    raise AssertionError("a hook of the session was called for the token request")


# The session option


def test_session_lends_its_adapter_and_is_not_changed() -> None:
    adapter = RecordingAdapter()

    def set_cookies(request: Received) -> Response:
        status, headers, body = api(request)
        return status, headers | {"Set-Cookie": f"from={request.path[1:5]}; Path=/"}, body

    with api_server() as (server, api), requests.Session() as session:
        server.handler = set_cookies
        session.mount("http://", adapter)
        session.headers["X-Mine"] = "1"
        session.cookies.set("mine", "1")
        session.params = {"mine": "1"}
        session.auth = ("someone", "else")
        session.hooks["response"].append(refuse_hook)
        before = {name: deepcopy(getattr(session, name)) for name in ("headers", "params", "auth")}
        auth = auth_for(server.url, session=session)
        requests.get(server.url + "/a", auth=auth, timeout=5)
        assert len(adapter.sent) == 1
        assert {name: getattr(session, name) for name in before} == before
        assert session.cookies.get_dict() == {"mine": "1"}
        assert session.hooks["response"] == [refuse_hook]
    [token_request] = server.to("/oauth/token")
    assert not {"x-mine", "cookie"} & set(token_request.headers)


@pytest.mark.parametrize("no_proxy", ["", DOMAIN])
def test_token_request_uses_the_proxy_of_the_environment_if_the_call_does(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:8080")
    monkeypatch.setenv("no_proxy", no_proxy)
    adapter = FakeAdapter(lambda request: response_to(request, b'{"access_token": "token-1"}'))
    session = adapter.session()
    session.get(URL, auth=auth_for(DOMAIN, session=session))
    used = {path: settings["proxies"].get("https") for path, settings in adapter.sent.items()}
    assert used == dict.fromkeys(
        ["/oauth/token", "/v2/users"], None if no_proxy else "http://proxy.example:8080"
    )


# The settings of a call


@pytest.mark.parametrize(
    ("timeout", "connect", "read"),
    [
        (None, 9, 9),
        (5, 5, 5),
        ((3, 50), 3, 9),
        ((None, 5), 9, 5),
        (urllib3.Timeout(5), 5, 5),
        (urllib3.Timeout(connect=3, read=5), 3, 5),
        (urllib3.Timeout(connect=3), 3, 9),
        (urllib3.Timeout(total=2, connect=3, read=5), 2, 2),
    ],
    ids=str,
)
def test_replay_has_the_settings_of_the_call_and_renewal_shorter_timeouts(
    timeout: Any, connect: float, read: float
) -> None:
    adapter = RecordingAdapter()
    with api_server() as (server, api), requests.Session() as session:
        session.mount("http://", adapter)
        auth = auth_for(server.url, session=session, timeout=9)
        session.get(server.url + "/a", auth=auth)
        api.revoke()
        settings: Any = {"timeout": timeout, "verify": False, "stream": True, "cert": "/dev/null"}
        session.get(server.url + "/a", auth=auth, **settings).close()
    cold, _, rejected, renewal, replay = adapter.sent
    assert cold["timeout"] == (9, 9)
    assert renewal["timeout"] == (connect, read)
    assert rejected == replay == settings | {"proxies": replay["proxies"]}


# Responses


@pytest.mark.parametrize(("body", "status"), [(b"in memory", 200), (Chunks(), 401)])
def test_last_response_is_not_read_for_a_caller_who_streams(body: Any, status: int) -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/a")
        api.revoke()
        with session.post(server.url + "/a", data=body, stream=True) as response:
            assert response.status_code == status
            assert response.raw.read() == (b"accepted" if status == 200 else b"rejected")


# Hooks


def test_response_hooks_see_the_last_response_once() -> None:
    seen = []
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.hooks["response"].append(lambda response, **_: seen.append(response.status_code))
        session.get(server.url + "/a")
        api.revoke()
        session.get(server.url + "/a")
    assert seen == [200, 200]


def test_request_signed_twice_keeps_the_users_hooks_and_is_replayed_once() -> None:
    def of_the_user(response: requests.Response, **_: Any) -> None:
        pass

    api = Api()
    api.responses["/a"] = (401, {}, b"no permission")
    with api_server(api) as (server, _), requests.Session() as session:
        first, second = auth_for(server.url), auth_for(server.url)
        prepared = requests.Request("GET", server.url + "/a", hooks={"response": of_the_user}).prepare()
        for auth in (first, second, first, first):
            prepared.prepare_auth(auth)
        kept, *ours = prepared.hooks["response"]
        assert kept is of_the_user
        assert len(ours) == 2
        prepared.deregister_hook("response", next(hook for hook in ours if hook.auth is second))
        assert session.send(prepared).status_code == 401
    assert len(server.to("/a")) == 2


@pytest.mark.parametrize("header", ["Bearer of-the-user", b"Bearer of-the-user"])
def test_header_that_the_user_wrote_after_ours_is_the_users(header: Any) -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a"))
        prepared.headers["Authorization"] = header
        assert session.send(prepared).status_code == 401
    assert [one.authorization for one in server.to("/a")] == ["Bearer of-the-user"]
    assert api.token_requests == 1


# A token request that fails


def call_in_an_except_block(url: str) -> None:
    try:
        raise LookupError("the user's")
    except LookupError:
        requests.get(url + "/a", auth=auth_for(url), timeout=5)


def test_failed_token_request_raises_anew_and_keeps_the_users_exception() -> None:
    with broken_server("closes") as (url, _), pytest.raises(requests.ConnectionError) as caught:
        call_in_an_except_block(url)
    error, theirs = caught.value, caught.value.__context__
    assert isinstance(theirs, LookupError)
    assert theirs.__traceback__ is not None
    assert error.__cause__ is None
    assert type(error) is requests.ConnectionError
    assert error.request is not None
    assert error.request.url == f"{url}/oauth/token"
    assert "Authorization" not in error.request.headers
    [inner] = error.args
    assert isinstance(inner, urllib3.exceptions.ProtocolError)
    # The last one was raised in a frame that holds the request, with its header.
    assert [one.__traceback__ for one in (inner, inner.args[1])] == [None, None]


class TakesNoRequestError(requests.ConnectionError):
    def __init__(self, message: str) -> None:
        super().__init__(message)


class WritesItsOwnMessageError(requests.ConnectionError):
    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(f"no mock for {name}", **options)


@pytest.mark.parametrize(
    "kind", [requests.ConnectionError, TakesNoRequestError, WritesItsOwnMessageError, LookupError]
)
def test_exception_of_an_adapter_is_rebuilt_or_raised_as_it_is(kind: Any) -> None:
    raised = kind("text")

    def fail(request: requests.PreparedRequest) -> requests.Response:
        raised.request = request
        raise raised

    session = FakeAdapter(fail).session()
    with pytest.raises(kind) as caught:
        session.get(URL, auth=auth_for(DOMAIN, session=session))
    can_be_rebuilt = kind is requests.ConnectionError
    assert (caught.value is raised) is not can_be_rebuilt
    assert caught.value.args == raised.args
    assert "Authorization" not in caught.value.request.headers


def test_request_without_a_cookie_jar_is_replayed() -> None:
    """As one that a program has put together by hand."""
    with api_server() as (server, api):
        prepared = requests.PreparedRequest()
        prepared.prepare("GET", server.url + "/a", auth=auth_for(server.url))
        prepared._cookies = None  # type: ignore[attr-defined]
        api.revoke()
        [hook] = prepared.hooks["response"]
        rejected = HTTPAdapter().send(prepared)
        assert rejected.status_code == 401
        assert hook(rejected).status_code == 200


def test_reason_of_a_failed_connection_keeps_no_frames() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get(f"http://127.0.0.1:{port}/a", auth=auth_for(f"http://127.0.0.1:{port}"), timeout=5)
    [inner] = caught.value.args
    assert isinstance(inner, urllib3.exceptions.MaxRetryError)
    assert inner.__traceback__ is None
    assert inner.reason is not None
    assert inner.reason.__traceback__ is None


def test_proxies_of_the_session_carry_a_token_request_to_a_loopback_host() -> None:
    adapter = FakeAdapter(lambda request: response_to(request, b'{"access_token": "token-1"}'))
    session = requests.Session()
    session.mount("http://", adapter)
    session.proxies = {"http": "http://proxy.example:8080"}
    session.get("http://127.0.0.1/a", auth=auth_for("http://127.0.0.1", session=session))
    assert adapter.sent["/oauth/token"]["proxies"] == session.proxies


@pytest.mark.usefixtures("netrc")
def test_401_of_another_host_with_a_netrc_entry_is_not_replayed() -> None:
    with api_server() as (server, api), Server(lambda request: (401, {}, b"")).running() as other:
        there = other.url.replace("127.0.0.1", "localhost") + "/there"
        api.responses["/away"] = (302, {"Location": there}, b"")
        response = requests.get(server.url + "/away", auth=auth_for(server.url), timeout=5)
    assert response.status_code == 401
    [sent] = other.received
    assert (sent.authorization or "").startswith("Basic ")


def test_hooks_of_the_user_see_what_another_host_redirects_to() -> None:
    seen: list[str] = []

    def see(response: requests.Response, **_: Any) -> None:
        seen.append(str(response.url).rpartition("/")[2])

    with api_server() as (server, api):
        back = (302, {"Location": server.url + "/back"}, b"")
        with Server(lambda request: back).running() as other:
            api.responses["/away"] = (302, {"Location": other.url + "/there"}, b"")
            requests.get(server.url + "/away", auth=auth_for(server.url), hooks={"response": see}, timeout=5)
    assert seen == ["away", "there", "back"]


def test_401_to_a_url_with_user_info_renews_the_token() -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        url = server.url.replace("://", "://user:password@") + "/a"
        for _ in range(2):
            assert requests.get(url, auth=auth, timeout=5).status_code == 200
            api.revoke()
    assert api.token_requests == 2


def test_response_of_another_host_without_hooks_is_left_alone() -> None:
    """requests-cache calls our hook with such a one."""
    prepared = requests.Request("GET", URL).prepare()
    hook = auth_for(DOMAIN)(requests.Request("GET", "https://other.example/").prepare()).hooks["response"][0]
    response = response_to(prepared)
    response.request = SimpleNamespace(url="https://other.example/", headers={})  # type: ignore[assignment]
    assert hook(response) is response
