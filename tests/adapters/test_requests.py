"""What is of requests alone: the session option, adapters, timeouts, hooks, and who may call us."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import threading
import time
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import httpx
import pytest
import requests
import responses
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.hooks import dispatch_hook

from tests.support.clients import CLIENT_ID, CLIENT_SECRET, NotingAdapter, Requests, auth_for
from tests.support.clock import Clock
from tests.support.forbidding import forbidding
from tests.support.servers import BASIC, Answer, Api, Received, api_server
from thebase_auth._requests_io import timeouts_of
from thebase_auth.caches import FileTokenCache
from thebase_auth.requests import TheBaseAuth, TokenRequestError

DOMAIN = "acme.thebase.co.il"
URL = f"https://{DOMAIN}/v2/users"


def auth_of_requests(domain: str, **options: Any) -> TheBaseAuth:
    return TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET, **options)


@responses.activate
def test_it_works_with_responses_as_users_write_it() -> None:
    responses.post(
        f"https://{DOMAIN}/oauth/token",
        json={"access_token": "HsXI8gp1B5F2d5EDnGy3Tw", "token_type": "bearer", "expires_in": 3600},
    )
    responses.get(URL, status=401)
    responses.get(URL, json={"items": [{"name": "משה"}]})
    responses.post(f"https://{DOMAIN}/oauth/token", json={"access_token": "another", "token_type": "Bearer"})
    session = requests.Session()
    session.auth = auth_of_requests(DOMAIN)
    assert session.get(URL).json()["items"][0]["name"] == "משה"
    paths = [call.request.path_url for call in responses.calls]
    assert paths == ["/oauth/token", "/v2/users", "/oauth/token", "/v2/users"]
    assert responses.calls[-1].request.headers["Authorization"] == "Bearer another"


def test_the_session_option_lends_its_adapter_and_nothing_else() -> None:
    with api_server() as (server, _), requests.Session() as session:

        class Counting(HTTPAdapter):
            sent = 0

            def send(self, *args: Any, **kwargs: Any) -> requests.Response:
                Counting.sent += 1
                return super().send(*args, **kwargs)

        def never(response: requests.Response, **_: Any) -> None:
            raise AssertionError("a hook of the session was called for the token request")

        session.mount("http://", Counting())
        session.headers["X-Mine"] = "1"
        session.cookies.set("mine", "1")
        session.params = {"mine": "1"}
        session.auth = ("someone", "else")
        session.hooks["response"].append(never)
        before = {name: deepcopy(getattr(session, name)) for name in ("headers", "params", "auth")}
        auth = auth_of_requests(server.url, session=session)
        requests.get(server.url + "/a", auth=auth, timeout=5)
        assert Counting.sent == 1
        assert {name: getattr(session, name) for name in before} == before
        assert session.cookies.get_dict() == {"mine": "1"}
        assert session.hooks["response"] == [never]
    [token_request] = server.to("/oauth/token")
    assert not {"x-mine", "cookie"} & set(token_request.headers)


def test_a_cookie_that_the_token_endpoint_sets_stays_out_of_the_session() -> None:
    api = Api()

    def with_cookie(request: Received) -> Answer:
        status, headers, body = api(request)
        return status, headers | {"Set-Cookie": f"from={request.path[1:5]}; Path=/"}, body

    with api_server(api) as (server, _), requests.Session() as session:
        server.handler = with_cookie
        session.auth = auth_of_requests(server.url, session=session)
        session.get(server.url + "/call")
        assert session.cookies.get_dict() == {"from": "call"}


@pytest.mark.parametrize(
    "timeout",
    [5, 5.0, (5, 5), (None, 5), urllib3.Timeout(5), urllib3.Timeout(connect=5, read=5), None],
    ids=lambda value: re.sub("<.*?>", "default", str(value)),
)
def test_a_call_with_any_form_of_timeout_is_renewed(timeout: Any) -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        assert session.get(server.url + "/a", timeout=timeout).status_code == 200


@pytest.mark.parametrize(
    ("timeout", "connect", "read"),
    [
        (None, None, None),
        (5, 5, 5),
        ((3, 5), 3, 5),
        ((None, 5), None, 5),
        (urllib3.Timeout(5), 5, 5),
        (urllib3.Timeout(connect=3, read=5), 3, 5),
        (urllib3.Timeout(total=2, connect=3, read=5), 2, 2),
        (urllib3.Timeout(total=4, connect=3, read=5), 3, 4),
        (urllib3.Timeout(connect=3), 3, None),
    ],
    ids=lambda value: re.sub("<.*?>", "default", str(value)),
)
def test_every_form_of_timeout_is_understood(timeout: Any, connect: Any, read: Any) -> None:
    understood = {
        phase: seconds if isinstance(seconds, (int, float)) else None
        for phase, seconds in timeouts_of(timeout).items()
    }
    assert understood == {"connect": connect, "read": read}


def test_a_renewal_keeps_to_the_timeout_of_the_call() -> None:
    let_go = threading.Event()
    api = Api()

    def silent(request: Received) -> Answer:
        if request.path == "/oauth/token":
            let_go.wait(20)
        return api(request)

    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_of_requests(server.url, timeout=1000)
        session.get(server.url + "/a")
        api.revoke()
        server.handler = silent
        with pytest.raises(requests.ReadTimeout):
            session.get(server.url + "/a", timeout=0.2)
        let_go.set()


def test_a_streamed_answer_begins_before_it_ends() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        with session.get(server.url + "/a", stream=True) as response:
            assert response.status_code == 200
            assert not response._content_consumed  # type: ignore[attr-defined]
            assert response.raw.read() == b"accepted"


def test_a_401_that_cannot_be_read_to_its_end_is_renewed_all_the_same() -> None:
    goes_on = threading.Event()

    def unreadable() -> Iterator[bytes]:
        yield b"this is not gzip" * 100
        goes_on.wait(20)
        yield b"more of it"

    api = Api()
    api.refusal = (401, {"Content-Encoding": "gzip"}, unreadable())
    with api_server(api) as (server, _), requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        assert session.get(server.url + "/a").status_code == 200  # the one connection is free
        goes_on.set()


def test_answers_that_are_compressed_are_read() -> None:
    def compressing(request: Received) -> Answer:
        status, headers, body = api(request)
        return status, {**headers, "Content-Encoding": "gzip"}, gzip.compress(body)

    with api_server() as (server, api), requests.Session() as session:
        server.handler = compressing
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        response = session.get(server.url + "/a")
        [refused] = response.history
    assert (response.text, refused.text) == ("accepted", "refused")
    assert list(refused.iter_content(3)) == [b"ref", b"use", b"d"]


def test_a_401_that_was_read_leaves_its_connection_to_the_replay() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_of_requests(server.url, session=session)
        session.get(server.url + "/a")
        api.revoke()
        assert session.get(server.url + "/a").status_code == 200
        [pool] = session.get_adapter(server.url).poolmanager.pools._container.values()  # type: ignore[attr-defined]
    assert (pool.num_requests, pool.num_connections) == (5, 1)


def test_an_answer_that_a_tool_shows_to_the_hooks_once_more_is_not_renewed_again() -> None:
    api = Api()
    api.answers["/a"] = (401, {}, b"no right")
    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        response = session.get(server.url + "/a")
        assert dispatch_hook("response", response.request.hooks, response) is response
    assert len(server.to("/a")) == 2
    assert api.token_requests == 2


def test_a_401_that_an_adapter_has_read_piece_by_piece_is_renewed_all_the_same() -> None:
    class Reading(HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            response = super().send(*args, **kwargs)
            if response.status_code == 401:
                list(response.iter_content(3))
            return response

    with api_server() as (server, api), requests.Session() as session:
        session.mount("http://", Reading())
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        assert session.get(server.url + "/a").status_code == 200


def test_a_renewal_that_fails_names_the_request_that_needed_it() -> None:
    def failing(request: Received) -> Answer:
        return api(request) if request.path == "/a" else (400, {}, b"no")

    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        server.handler = failing
        with pytest.raises(TokenRequestError) as caught:
            session.get(server.url + "/a")
        assert caught.value.request is not None
        assert caught.value.request.url == server.url + "/a"


def test_the_time_that_a_replay_takes_is_that_of_its_answer() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        began = time.perf_counter()
        elapsed = session.get(server.url + "/a").elapsed.total_seconds()
        assert 0 < elapsed <= time.perf_counter() - began


@pytest.mark.parametrize("past_the_proxy", ["", "acme.thebase.co.il"])
def test_the_token_request_goes_by_the_proxy_of_the_environment_if_the_call_does(
    monkeypatch: pytest.MonkeyPatch, past_the_proxy: str
) -> None:
    proxies: dict[str, Any] = {}

    class Noting(BaseAdapter):
        def send(self, request: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
            proxies[request.path_url] = dict(kwargs["proxies"])
            response = requests.Response()
            response.request, response.url, response.status_code = request, request.url, 200
            response.raw = io.BytesIO(b'{"access_token": "token-1"}')
            return response

        def close(self) -> None:
            pass

    monkeypatch.setenv("https_proxy", "http://proxy.example:8080")
    monkeypatch.setenv("no_proxy", past_the_proxy)
    with requests.Session() as session:
        session.mount("https://", Noting())
        session.auth = auth_of_requests(DOMAIN, session=session)
        session.get(URL)
    assert proxies["/oauth/token"] == proxies["/v2/users"]
    assert bool(proxies["/oauth/token"]) is not bool(past_the_proxy)


def test_the_settings_of_the_call_go_with_the_replay() -> None:
    adapter = NotingAdapter()
    with api_server() as (server, api), requests.Session() as session:
        session.mount("http://", adapter)
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        adapter.sent.clear()
        session.get(server.url + "/a", timeout=7, verify=False, stream=True, cert="/dev/null").close()
    assert len(adapter.sent) == 2
    assert adapter.sent[0] == adapter.sent[1]
    replay = adapter.sent[1]
    assert (replay["timeout"], replay["verify"], replay["stream"]) == (7, False, True)


@responses.activate
def test_the_token_request_can_be_looked_at_in_responses() -> None:
    responses.post(f"https://{DOMAIN}/oauth/token", json={"access_token": "abc", "token_type": "bearer"})
    responses.get(URL, json={})
    requests.get(URL, auth=auth_of_requests(DOMAIN), timeout=5)
    assert responses.calls[0].request.headers["Authorization"] == BASIC
    assert responses.calls[0].request.body == b"grant_type=client_credentials"


def test_a_request_that_is_signed_twice_is_replayed_once() -> None:
    api = Api()
    api.answers["/a"] = (401, {}, b"no right")
    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a"))
        prepared.prepare_auth(session.auth)
        assert session.send(prepared).status_code == 401
    assert len(server.to("/a")) == 2
    assert api.token_requests == 2


def test_a_request_that_is_signed_again_keeps_all_hooks_but_ours() -> None:
    def of_the_user(response: requests.Response, **_: Any) -> None:
        pass

    with api_server() as (server, _):
        first, second = auth_of_requests(server.url), auth_of_requests(server.url)
        prepared = requests.Request("GET", server.url + "/a", hooks={"response": of_the_user}).prepare()
        for auth in (first, second, first):
            prepared.prepare_auth(auth)
        kept, *ours = prepared.hooks["response"]
    assert kept is of_the_user
    assert [hook.auth for hook in ours] == [second, first]


def test_a_header_that_the_user_wrote_after_ours_is_the_users() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a"))
        prepared.headers["Authorization"] = "Bearer of-the-user"
        assert session.send(prepared).status_code == 401
    assert [one.authorization for one in server.to("/a")] == ["Bearer of-the-user"]
    assert api.token_requests == 1


def test_an_adapter_that_names_no_connection_gets_the_401_through() -> None:
    class Bare(HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            response = super().send(*args, **kwargs)
            del response.connection
            return response

    with api_server() as (server, api), requests.Session() as session:
        session.mount("http://", Bare())
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        assert session.get(server.url + "/a").status_code == 401
        assert session.get(server.url + "/a").status_code == 200


def test_the_next_request_of_a_replayed_redirect_can_be_sent_again_and_again() -> None:
    api = Api()
    api.answers["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        following = session.get(server.url + "/from", allow_redirects=False).next
        assert following is not None
        api.revoke()
        assert session.send(following.copy().copy()).status_code == 200
        assert [session.send(following).status_code for _ in range(3)] == [200, 200, 200]
        following.headers["Authorization"] = "Bearer of-the-user"
        assert session.send(following).status_code == 401
    assert server.received[-1].authorization == "Bearer of-the-user"


def test_a_prepared_request_that_was_redirected_can_be_sent_again_after_a_renewal() -> None:
    api = Api()
    api.answers["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/from"))
        for _ in range(3):
            assert session.send(prepared).status_code == 200
            api.revoke()


def test_a_session_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="session must be a requests.Session, not type"):
        auth_of_requests(DOMAIN, session=requests.Session)


def test_a_redirect_that_is_not_followed_can_be_followed_by_hand() -> None:
    api = Api()
    api.answers["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        response = session.get(server.url + "/from", allow_redirects=False)
        assert response.status_code == 302
        assert response.next is not None
        assert session.send(response.next).status_code == 200
    assert [one.authorization for one in server.to("/to")] == ["Bearer token-2"]


def test_a_body_that_a_hook_of_the_user_put_in_place_is_not_replayed_if_unknown() -> None:
    with api_server() as (server, api):
        auth = auth_of_requests(server.url)
        requests.get(server.url + "/a", auth=auth, timeout=5)
        api.revoke()
        request = requests.Request("POST", server.url + "/a", data=b"first", auth=auth).prepare()
        request.body = iter([b"sec", b"ond"])  # type: ignore[assignment]
        del request.headers["Content-Length"]
        with requests.Session() as session:
            assert session.send(request).status_code == 401
    assert [one.body for one in server.to("/a")][1:] == [b"second"]


def test_a_request_without_a_cookie_jar_is_replayed() -> None:
    with api_server() as (server, api), requests.Session() as session:
        auth = auth_of_requests(server.url)
        request = requests.PreparedRequest()
        request.prepare_method("GET")
        request.prepare_url(server.url + "/a", None)
        request.prepare_headers({})
        request.prepare_auth(auth)
        api.revoke()
        assert session.send(request).status_code == 200


def test_the_pickle_of_a_response_has_no_hook_of_ours() -> None:
    with api_server() as (server, _):
        response = requests.get(server.url + "/a", auth=auth_of_requests(server.url), timeout=5)
    [hook] = pickle.loads(pickle.dumps(response)).request.hooks["response"]
    assert hook(response) is None


def test_a_pickled_session_signs_again() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_of_requests(server.url)
        session.get(server.url + "/a")
        api.revoke()
        with pickle.loads(pickle.dumps(session)) as copy:
            assert copy.auth.token is None
            assert copy.get(server.url + "/a").status_code == 200
            api.revoke()
            assert copy.get(server.url + "/a").status_code == 200


def test_it_says_so_when_another_library_calls_it() -> None:
    auth: Any = auth_of_requests(DOMAIN)
    with httpx.Client(auth=auth) as client, pytest.raises(TypeError, match="thebase_auth.TheBaseAuth"):
        client.get(URL)


@pytest.mark.parametrize("timeout", [0, -1, 1e300, float("nan"), float("inf"), None, "5", True], ids=str)
def test_a_timeout_that_is_not_a_positive_number_is_refused(timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be a positive number of seconds"):
        auth_for(DOMAIN, timeout=timeout)


def test_the_longest_timeout_is_as_long_as_the_machine_can_wait() -> None:
    longest = threading.TIMEOUT_MAX
    assert auth_of_requests(DOMAIN, timeout=longest)._core.timeout == longest


def test_from_env_takes_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DOMAIN", DOMAIN), ("CLIENT_ID", "id"), ("CLIENT_SECRET", "secret")):
        monkeypatch.setenv(f"THEBASE_{name}", value)
    with requests.Session() as session:
        cache = FileTokenCache("/tmp/x.json")
        auth = TheBaseAuth.from_env(cache=cache, timeout=3, session=session)
        assert (auth._core._cache, auth._core.timeout, auth._session) == (cache, 3, session)


def test_an_error_document_is_quoted_in_one_line() -> None:
    def rude(request: Received) -> Answer:
        text = "no\n\x1b[31mway\r\n" + "x" * 1000
        return 400, {}, json.dumps({"error": "invalid_client", "error_description": text}).encode()

    with api_server() as (server, _):
        server.handler = rude
        with pytest.raises(requests.RequestException) as caught:
            requests.get(server.url + "/a", auth=auth_of_requests(server.url), timeout=5)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_request_that_another_thread_has_signed_since_says_nothing_of_its_new_token() -> None:
    """Two threads send one prepared request; the first renews, and the second has its 401 still to come."""
    with api_server() as (server, api), requests.Session() as session:
        auth = auth_for(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a", auth=auth))
        api.revoke()
        hooks, prepared.hooks = prepared.hooks, {"response": []}
        late = session.send(prepared)  # refused, and its hook is not called yet
        late.elapsed = timedelta(seconds=60)
        prepared.hooks = hooks
        assert session.send(prepared).status_code == 200
        answer = dispatch_hook("response", hooks, late, timeout=5)
    assert answer.status_code == 200
    assert api.token_requests == 2


def test_an_answer_to_a_header_of_the_users_own_says_nothing_of_ours(clock: Clock) -> None:
    with forbidding(Requests("requests"), "/no") as (server, api, auth):
        for _ in range(2):
            requests.get(server.url + "/no", auth=auth, timeout=10)
        api.forbidden, live = (), api.live
        api.live = {"of-the-user"}
        with requests.Session() as session:
            prepared = session.prepare_request(requests.Request("GET", server.url + "/no", auth=auth))
            prepared.headers["Authorization"] = "Bearer of-the-user"
            assert session.send(prepared).status_code == 200
        api.forbidden, api.live = ("/no",), live
        requests.get(server.url + "/no", auth=auth, timeout=10)
    assert api.token_requests == 3  # none more: the pause goes on
