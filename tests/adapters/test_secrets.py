"""Neither the secret nor a token is in anything that is shown, logged, raised or kept."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from requests.structures import CaseInsensitiveDict

from tests.support.broken import broken_server
from tests.support.clients import CLIENT_ID, CLIENT_SECRET, Client, auth_for
from tests.support.servers import Answer, Api, Received, api_server
from tests.support.world import LIBRARIES
from thebase_auth import TheBaseAuthError, Token
from thebase_auth._requests_io import _forget_the_secret

SECRETS = [CLIENT_SECRET, base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()]
TOKENS = ["token-1", "token-2"]


def shows(text: str, *, but: tuple[str, ...] = ()) -> list[str]:
    """The secrets and tokens in *text*."""
    return [secret for secret in [*SECRETS, *TOKENS] if secret in text and secret not in but]


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Log all there is to log, as somebody does who looks for an error, and check every line."""
    caplog.set_level(logging.DEBUG)
    yield
    assert shows(caplog.text) == []


def test_the_auth_object_shows_neither(client: Client) -> None:
    with api_server() as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
    for thing in (auth, auth.token, auth._core.credentials, auth._core.shared):
        assert shows(repr(thing)) == shows(str(thing)) == shows(f"{thing}") == []
    assert CLIENT_ID in repr(auth)
    assert server.url.removeprefix("http://") in repr(auth)
    assert isinstance(auth.token, Token)
    assert auth.token.access_token == "token-1"


def test_the_secret_is_not_reachable_from_a_response(client: Client) -> None:
    api = Api()
    api.answers["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        for path in ("/a", "/from", "/a"):
            api.revoke()
            reply = client.get(auth, server.url + path, follow_redirects=True)
            answers = [reply.response, *reply.response.history]
            answers += [older for one in answers for older in one.history]
            for answer in answers:
                values = [str(value) for value in answer.request.headers.values()]
                assert [value for value in values if "Basic" in value] == []
                assert "/oauth" not in str(answer.request.url)
                assert shows(repr(answer) + repr(answer.request)) == []
                assert not set(SECRETS) & set(shows(repr(answer.request.headers)))
            kept = pickle.dumps(reply.response)
            assert [secret for secret in SECRETS if secret.encode() in kept] == []
            assert pickle.loads(kept).status_code == reply.status


def no_token(request: Received) -> Answer:
    return (
        401,
        {"Content-Type": "application/json"},
        json.dumps(
            {"error": "invalid_client", "error_description": f"{CLIENT_SECRET} and {SECRETS[1]} are wrong"}
        ).encode(),
    )


def no_token_after_the_first(api: Api) -> Any:
    def handler(request: Received) -> Answer:
        return no_token(request) if request.path == "/oauth/token" else api(request)

    return handler


@pytest.mark.parametrize("when", ["at first", "at the renewal"])
def test_an_error_shows_neither_even_where_the_server_says_the_secret(client: Client, when: str) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        if when == "at the renewal":
            client.get(auth, server.url + "/a")
            api.revoke()
        server.handler = no_token_after_the_first(api)
        with pytest.raises(client.error) as caught:
            client.get(auth, server.url + "/a")
    assert_shows_nothing(caught.value)


@pytest.mark.parametrize("behaviour", ["closes", "is silent"])
def test_a_failure_of_the_transport_shows_neither(client: Client, behaviour: str) -> None:
    with broken_server(behaviour) as (url, _), pytest.raises(client.error) as caught:
        client.get(auth_for(url, timeout=0.2), url + "/a", timeout=0.2)
    assert_shows_nothing(caught.value)


def assert_shows_nothing(error: BaseException) -> None:
    """Sweep text, arguments, notes, attributes, traceback with our frames' variables, and pickle."""
    text = f"{error} {error!r} {error.args} {vars(error)} {getattr(error, '__notes__', '')}"
    assert shows(text + "".join(traceback.format_exception(error))) == []
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [
        f"{frame.name} {frame.locals}"
        for frame in walk(frames)
        if "thebase_auth/" in frame.filename.replace("\\", "/")
    ]
    assert shows(" ".join(ours)) == []
    kept = b""
    if isinstance(error, TheBaseAuthError):
        assert ours
        kept = pickle.dumps(error)
    assert [secret for secret in [*SECRETS, *TOKENS] if secret.encode() in kept] == []


def walk(found: traceback.TracebackException | None) -> Iterator[traceback.FrameSummary]:
    while found is not None:
        yield from found.stack
        found = found.__cause__ or found.__context__


def test_the_variables_of_requests_own_frames_show_no_secret() -> None:
    """An error report with local variables prints every dict of headers on its way."""
    import requests

    with broken_server("closes") as (url, _), pytest.raises(requests.ConnectionError) as caught:
        requests.get(url + "/a", auth=auth_for(url), timeout=5)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert shows(" ".join(str(frame.locals) for frame in walk(frames))) == []


def test_no_exception_behind_that_of_a_token_request_keeps_its_frames() -> None:
    def raised(*args: object) -> Exception:
        try:
            raise OSError(*args)
        except OSError as error:
            return error

    inner = raised()
    error, cause, context = raised(inner, "text"), raised(), raised()
    error.__cause__, error.__context__ = cause, context
    cause.__context__ = error  # and round again
    request = requests.PreparedRequest()
    request.headers = CaseInsensitiveDict()
    _forget_the_secret(error, request)
    assert [one.__traceback__ for one in (error, cause, context, inner)] == [None] * 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": CLIENT_SECRET + " "},
        {"domain": f"https://user:{CLIENT_SECRET}@acme.thebase.co.il"},
        {"client_id": f"{CLIENT_ID}:{CLIENT_SECRET}"},
        {"client_secret": CLIENT_SECRET + "\n"},
        {"client_secret": CLIENT_SECRET + "\u200f"},
    ],
    ids=str,
)
def test_a_wrong_setting_is_not_repeated(wrong: dict[str, str]) -> None:
    from thebase_auth import TheBaseAuth

    settings: dict[str, Any] = {"domain": "acme.thebase.co.il", "client_id": "id", "client_secret": "secret"}
    with pytest.raises(ValueError) as caught:
        TheBaseAuth(**(settings | wrong))
    assert shows(str(caught.value)) == []
    assert next(iter(wrong)).replace("_", " ") in str(caught.value)
    if "client_secret" in wrong:
        frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        ours = [frame for frame in frames.stack if "thebase_auth/" in frame.filename]
        assert ours
        assert shows(" ".join(str(frame.locals) for frame in ours)) == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_a_response_hook_keeps_has_no_secret_when_the_call_is_done(library: Any) -> None:
    seen: list[Any] = []
    with (
        api_server() as (server, _),
        library.Client(auth=auth_for(server.url), event_hooks={"response": [seen.append]}) as client,
    ):
        client.get(server.url + "/a")
    assert [(one.request.url.path, one.request.headers.get("Authorization")) for one in seen] == [
        ("/oauth/token", None),
        ("/a", "Bearer token-1"),
    ]
