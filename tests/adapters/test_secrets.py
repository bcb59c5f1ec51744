"""Neither the secret nor a token is in anything that a user gets, logs or reports.

Each test takes a call to where something goes wrong, and searches all that can be seen then: see `sweep`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import requests

from tests.support.adapters import response_to
from tests.support.broken import broken_server
from tests.support.clients import CLIENT_ID, CLIENT_SECRET, Client, auth_for, one_time_body
from tests.support.permission import ApiWithoutPermission
from tests.support.servers import BASIC, Api, Response, Server, api_server
from tests.support.sweep import SECRETS, TOKEN, Sight, Sweep
from tests.support.world import DOMAIN, LIBRARIES, URL
from thebase_auth import TheBaseAuth, TokenRequestError


@pytest.fixture
def sweep(client: Client, caplog: pytest.LogCaptureFixture) -> Sweep:
    return Sweep(client, caplog)


# The token endpoint responds with what it was sent

ECHO = f"you sent {CLIENT_SECRET} and {BASIC}"
WITH_TOKEN = f"{ECHO} for token-1"


def as_json(status: int, **members: Any) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(members).encode()


ECHOES: dict[str, Response] = {
    "in an OAuth error": as_json(401, access_token="token-1", error=ECHO, error_description=WITH_TOKEN),
    "in a redirect": (302, {"Location": f"https://a.example/{CLIENT_SECRET}"}, b""),
    "in broken JSON": (200, {}, f'{{"access_token": "token-1", "error": "{ECHO}"'.encode()),
}


@pytest.mark.parametrize("when", ["first", "renewal"])
@pytest.mark.parametrize("where", ECHOES)
def test_token_response_that_echoes_credentials_leaks_none(sweep: Sweep, where: str, when: str) -> None:
    for library in ("httpcore", "httpcore2"):
        sweep.caplog.set_level(logging.INFO, library)  # at DEBUG they log the headers of a response
    with api_server() as (server, api):
        auth = auth_for(server.url)
        if when == "renewal":
            sweep.call(auth, server.url + "/a")
            api.revoke()
        server.handler = lambda request: ECHOES[where] if "/oauth" in request.path else api(request)
        assert isinstance(sweep.call(auth, server.url + "/a"), TokenRequestError)
    assert sweep.leaks() == []


# The connection fails


@pytest.mark.parametrize("behaviour", ["closes", "is silent"])
def test_failed_connection_to_the_token_endpoint_leaks_nothing(sweep: Sweep, behaviour: str) -> None:
    with broken_server(behaviour) as (url, _):
        outcome = sweep.call(auth_for(url, timeout=0.2), url + "/a", timeout=0.2)
    assert isinstance(outcome, sweep.client.error)
    assert sweep.leaks() == []


def test_token_response_that_cannot_be_decoded_leaks_nothing(sweep: Sweep) -> None:
    damaged = (200, {"Content-Encoding": "gzip"}, b"no gzip")
    with Server(lambda request: damaged).running() as server:
        outcome = sweep.call(auth_for(server.url), server.url + "/a")
    assert isinstance(outcome, sweep.client.error)
    assert sweep.leaks() == []


def test_token_endpoint_with_an_unknown_certificate_leaks_nothing(sweep: Sweep, certificates: Any) -> None:
    with Server(Api()).running(**certificates.tls) as server:
        outcome = sweep.call(auth_for(server.url), server.url + "/a")
    assert isinstance(outcome, sweep.client.error)
    assert sweep.leaks() == []


# The call is replayed, or is not


def test_calls_that_are_replayed_or_redirected_leak_nothing(sweep: Sweep) -> None:
    api = ApiWithoutPermission("/forbidden")
    with api_server(api) as (server, _), Server(lambda request: (401, {}, b"")).running() as other:
        api.responses["/from"] = (302, {"Location": "/to"}, b"")
        api.responses["/away"] = (307, {"Location": other.url}, b"")
        auth = auth_for(server.url)
        statuses = []
        for path in ("/a", "/from", "/away", "/forbidden", "/forbidden"):
            api.revoke()
            statuses.append(sweep.call(auth, server.url + path, b"body", follow_redirects=True))
        api.revoke()
        statuses.append(sweep.call(auth, server.url + "/a", one_time_body(sweep.client)))
        statuses.append(sweep.call(auth, other.url))
    assert statuses == [200, 200, 401, 401, 401, 401, 401]
    assert sweep.leaks() == []


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("behaviour", ["responds", "redirects", "raises"])
def test_hooks_and_transports_keep_a_token_request_without_its_secret(library: Any, behaviour: str) -> None:
    kept: list[Any] = []

    def handler(request: Any) -> Any:
        kept.append(request)
        if behaviour == "raises":
            raise library.ConnectError("text")
        if behaviour == "redirects" and request.url.path == "/oauth/token":
            return library.Response(307, headers={"Location": "/oauth/token/"})
        return library.Response(200, json={"access_token": "abc"})

    transport = library.MockTransport(handler)
    with library.Client(auth=auth_for(DOMAIN), transport=transport, follow_redirects=True) as client:
        with suppress(library.HTTPError):
            client.get(URL)
    assert len(kept) == (1 if behaviour == "raises" else 2)
    assert {request.headers.get("Authorization") for request in kept} <= {None, "Bearer abc"}


# Settings

SETTINGS: dict[str, Any] = {"domain": DOMAIN, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": f"https://{CLIENT_ID}:{CLIENT_SECRET}@{DOMAIN}"},
        {"client_id": f"{CLIENT_ID}:{CLIENT_SECRET}"},
        {"client_secret": f"{CLIENT_SECRET}\0x"},
        {"client_id": ""},
        {"timeout": -1},
        {"timeout": CLIENT_SECRET},
        {"cache": {CLIENT_SECRET: BASIC}},
    ],
    ids=str,
)
def test_wrong_setting_does_not_show_the_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        TheBaseAuth(**(SETTINGS | wrong))
    is_misplaced = "client_secret" not in wrong and CLIENT_SECRET in str(wrong)
    sight = Sight()
    sight.add_error(caught.value)
    leaks = sight.leaks()
    assert not [one for one in leaks if not (is_misplaced and one.endswith("a variable of ours"))]


# What is planted is found: otherwise the sweep would find nothing for ever


TOKEN_URL = f"https://{DOMAIN}/oauth/token"


class Holder:
    __module__ = "thebase_auth._planted"

    def __init__(self, held: object, text: str = "") -> None:
        self.held = [held]
        self.text = text

    def __repr__(self) -> str:
        return f"Holder({self.text})"


def raised_in(path: str, planted: str) -> BaseException:
    with pytest.raises(LookupError) as caught:
        exec(compile(f"local = {planted!r}\nraise LookupError", path, "exec"), {})
    return caught.value


def behind_another(planted: str) -> Exception:
    error = LookupError()
    error.__cause__ = LookupError(LookupError(planted))
    return error


def in_a_log(planted: str) -> list[logging.LogRecord]:
    error = LookupError()
    error.add_note(planted)
    return [logging.LogRecord("any", logging.DEBUG, "", 0, "text", (), (LookupError, error, None))]


def in_a_token_request(planted: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {planted}"}
    return response_to(requests.Request("GET", TOKEN_URL, headers=headers).prepare())


def in_a_header(planted: str) -> requests.Response:
    return response_to(requests.Request("GET", URL, headers={"X-Sent": planted}).prepare())


def in_the_history(planted: str) -> requests.Response:
    rejected, response = (
        response_to(requests.Request("GET", URL, headers={"Authorization": f"Bearer {one}"}).prepare())
        for one in (planted, "another")
    )
    response.history = [rejected]
    return response


SHOWN: dict[str, Callable[[Sight, str], None]] = {
    "an exception behind another": lambda sight, planted: sight.add_error(behind_another(planted)),
    "a note of an exception in a log": lambda sight, planted: sight.add_logs(in_a_log(planted)),
    "a token request": lambda sight, planted: sight.add_response(in_a_token_request(planted)),
    "a header of an unsigned request": lambda sight, planted: sight.add_response(in_a_header(planted)),
    "a variable of ours": lambda sight, planted: sight.add_error(raised_in("/thebase_auth/a.py", planted)),
    "the repr of ours": lambda sight, planted: sight.add_object([Holder(None, text=planted)]),
}
HELD: dict[str, Callable[[Sight, str], None]] = {
    "a variable of urllib3": lambda sight, planted: sight.add_error(raised_in("/urllib3/a.py", planted)),
    "the history": lambda sight, planted: sight.add_response(in_the_history(planted)),
    "an attribute of ours": lambda sight, planted: sight.add_object(Holder(Holder(planted))),
}


@pytest.mark.parametrize("place", SHOWN | HELD)
def test_planted_secret_is_found_and_a_token_where_none_may_be(place: str) -> None:
    for name, planted in (SECRETS | TOKEN).items():
        sight = Sight()
        (SHOWN | HELD)[place](sight, planted)
        found = {one.partition(" in ")[0] for one in sight.leaks()}
        assert found == (set() if place in HELD and name in TOKEN else {name})
