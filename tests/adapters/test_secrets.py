"""Neither the secret nor a token is in anything that a user gets, logs or reports.

Each test takes a call to where something goes wrong, and searches all that can be seen then: see `sweep`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest
import requests

from tests.support.adapters import response_to
from tests.support.broken import broken_server
from tests.support.clients import CLIENT_ID, CLIENT_SECRET, Client, auth_for, one_time_body
from tests.support.permission import ApiWithoutPermission
from tests.support.servers import Api, Response, Server, api_server
from tests.support.sweep import (
    BASIC,
    CANARIES,
    OURS,
    Sight,
    Sweep,
    leaks,
    seen_of_error,
    seen_of_logs,
    seen_of_object,
    seen_of_response,
)
from tests.support.world import DOMAIN, LIBRARIES, URL
from thebase_auth import TheBaseAuth, TokenRequestError


@pytest.fixture
def sweep(client: Client, caplog: pytest.LogCaptureFixture) -> Sweep:
    return Sweep(client, caplog)


# The token endpoint responds with what it was sent

ECHO = f"you sent {CLIENT_SECRET} and Basic {BASIC}"
WITH_TOKEN = f"{ECHO} for token-1"


def as_json(status: int, **members: Any) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(members).encode()


ECHOES: dict[str, Response] = {
    "in an OAuth error": as_json(401, access_token="token-1", error=ECHO, error_description=WITH_TOKEN),
    "in a problem document": as_json(400, code=ECHO, message=json.dumps({"sent": [ECHO]}), instance=ECHO),
    "in the title of a page": (403, {"Content-Type": "text/html"}, f"<title>{ECHO}</title>".encode()),
    "in a redirect": (302, {"Location": f"https://a.example/{CLIENT_SECRET}?{BASIC}"}, b""),
    "in Retry-After": (429, {"Retry-After": ECHO}, b""),
    "in a media type": (200, {"Content-Type": f"text/{BASIC}"}, b"x"),
    "in token_type": as_json(200, access_token="token-1", token_type=WITH_TOKEN),
    "in a token that cannot go into a header": as_json(200, access_token=f"token-1 {ECHO}"),
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


class Quoting:
    """A cache that cannot store, and says what it was given."""

    def load(self, key: str) -> None:
        """Have nothing."""

    def store(self, key: str, record: str, lifetime: float | None) -> None:
        raise OSError(f"cannot store {record} at {key}")

    def lock(self, key: str, *, timeout: float) -> Callable[[], None]:
        return lambda: None


def test_cache_that_quotes_what_it_was_given_leaks_nothing(sweep: Sweep) -> None:
    with api_server() as (server, _):
        assert sweep.call(auth_for(server.url, cache=Quoting()), server.url + "/a") == 200
    assert "cannot store" in sweep.caplog.text
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
    seen = seen_of_error(caught.value)
    assert leaks(one for one in seen if not (is_misplaced and one[0] == OURS)) == []


# A canary that is planted is found: otherwise the sweep would find nothing for ever


class Holder:
    __module__ = "thebase_auth._planted"

    def __init__(self, held: object, text: str = "") -> None:
        self.held = [held]
        self.text = text

    def __repr__(self) -> str:
        return f"Holder({self.text})"


def noted(note: str) -> Exception:
    error = LookupError()
    error.add_note(note)
    return error


def caused_by(cause: Exception) -> Exception:
    error = LookupError()
    error.__cause__ = cause
    return error


def in_a_frame_of(path: str, canary: str) -> BaseException:
    with pytest.raises(LookupError) as caught:
        exec(compile(f"local = {canary!r}\nraise LookupError", path, "exec"), {})
    return caught.value


def sent(headers: dict[str, str], url: str = URL, history: Iterable[Any] = ()) -> requests.Response:
    response = response_to(requests.Request("GET", url, headers=headers).prepare())
    response.history = list(history)
    return response


def logged(error: Exception) -> Iterable[Sight]:
    exc_info = (type(error), error, error.__traceback__)
    return seen_of_logs([logging.LogRecord("any", logging.DEBUG, "", 0, "text", (), exc_info)])


TOKEN_URL = f"https://{DOMAIN}/oauth/token"
PLANTED: dict[str, Callable[[str], Iterable[Sight]]] = {
    "an exception in a log": lambda canary: logged(LookupError(canary)),
    "the args of an exception": lambda canary: seen_of_error(LookupError("text", canary)),
    "an exception among the args": lambda canary: seen_of_error(LookupError(LookupError(canary))),
    "a note": lambda canary: seen_of_error(noted(canary)),
    "a cause": lambda canary: seen_of_error(caused_by(LookupError(canary))),
    "the request of an exception": lambda canary: seen_of_error(
        requests.ConnectionError(request=sent({"X-Sent": canary}).request)
    ),
    "a variable of ours": lambda canary: seen_of_error(in_a_frame_of("/x/thebase_auth/a.py", canary)),
    "a header": lambda canary: seen_of_response(sent({"X-Sent": canary})),
    "the history": lambda canary: seen_of_response(sent({}, history=[sent({"X-Sent": canary})])),
    "a token request": lambda canary: seen_of_response(
        sent({"Authorization": f"Bearer {canary}"}, TOKEN_URL)
    ),
    "the repr of ours": lambda canary: seen_of_object(Holder(None, text=canary)),
    "an attribute of ours": lambda canary: seen_of_object(Holder(Holder(canary))),
}


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("place", PLANTED)
def test_planted_canary_is_found(place: str, canary: str) -> None:
    found = leaks(PLANTED[place](CANARIES[canary]))
    assert found
    assert all(one.startswith(f"{canary} in ") for one in found)


@pytest.mark.parametrize("canary", CANARIES)
def test_planted_canary_is_found_unless_it_is_a_token_where_one_may_be(canary: str) -> None:
    signed = seen_of_response(sent({"Authorization": f"Bearer {CANARIES[canary]}"}))
    below = seen_of_error(in_a_frame_of("/x/urllib3/connection.py", CANARIES[canary]))
    assert bool(leaks(signed)) == bool(leaks(below)) == (canary != "a token")
