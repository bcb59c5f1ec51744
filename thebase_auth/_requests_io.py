# Helpers for the objects of requests.
#
# Here: the token request, past everything in the session but its adapters, proxies and TLS settings;
# reading an answer within bounds; the request that replays another. Not here: when any of this is done
# (requests).

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import requests
import urllib3
from requests.cookies import extract_cookies_to_jar, get_cookie_header
from requests.structures import CaseInsensitiveDict

from ._core.bodies import Body, File
from ._core.credentials import TOKEN_REQUEST_BODY, Credentials
from ._core.token import Answer, Token
from ._reading import PIECE, Reading


def send_token_request(
    credentials: Credentials,
    session: requests.Session | None,
    user_agent: str | bytes | None,
    timeouts: dict[str, float],
) -> Answer:
    """Send the token request, with nothing of the session but its adapters and their settings.

    It goes through `Session.send`, which tools replace and watch, on a session that is thrown away.
    """
    url = credentials.token_url
    request = requests.PreparedRequest()
    request.headers = CaseInsensitiveDict()
    try:
        with requests.Session() as sender:
            user_session = sender if session is None else session
            sender.get_adapter = user_session.get_adapter  # type: ignore[method-assign]
            sender.get_redirect_target = _nowhere  # type: ignore[method-assign]
            settings: Any = user_session.merge_environment_settings(
                url, proxies={}, stream=True, verify=None, cert=None
            )
            if url.startswith("http://"):
                # A loopback host: not through a proxy of the environment.
                settings["proxies"] = user_session.proxies
            headers = credentials.token_request_headers
            request.prepare("POST", url, headers(user_agent), data=TOKEN_REQUEST_BODY)
            # A `send` in the session's attributes was put there by a test or a tool.
            response = vars(user_session).get("send", sender.send)(
                request, allow_redirects=False, timeout=(timeouts["connect"], timeouts["read"]), **settings
            )
            try:
                reading = read_within(response, timeouts["read"])
            finally:
                response.close()
    except BaseException as error:
        _forget_the_secret(error, request)
        if isinstance(error, requests.RequestException):
            error.add_note(f"This was the token request to {url}.")
            if session is None:
                error.add_note(
                    "If your session has a verify, a proxy or an adapter of its own, give it to the"
                    " token request too: TheBaseAuth(..., session=session)."
                )
        raise
    return Answer(response.status_code, response.headers, reading.content, reading.cut)


def _forget_the_secret(error: BaseException, request: requests.PreparedRequest) -> None:
    """Remove the secret from the request and the frames that *error* holds."""
    request.headers.pop("Authorization", None)
    seen: set[int] = set()
    to_visit: list[BaseException | None] = [error]
    while to_visit:
        one = to_visit.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            to_visit += [one.__cause__, one.__context__]
            to_visit += [inner for inner in one.args if isinstance(inner, BaseException)]


def _nowhere(resp: requests.Response) -> None:
    """No redirect of the token endpoint is followed; `Session.send` would look for its target even so."""


class _AsItComes:
    """A body for urllib3 to decode: `read` returns what has come, until it is time to stop."""

    closed = False

    def __init__(self, read1: Callable[[int], bytes], reading: Reading) -> None:
        self._read1 = read1
        self._reading = reading

    def read(self, size: int = PIECE) -> bytes:
        piece = self._read1(min(size, PIECE))
        if piece and not self._reading.note_arrival():
            piece = b""
        self.closed = not piece
        return piece

    def close(self) -> None:
        pass


def read_within(response: requests.Response, seconds: float) -> Reading:
    """Read *response* within the bounds of `Reading`. Its `content` becomes what was read."""
    reading = Reading(seconds)
    content: Any = response._content
    if content is not False:  # it has been read
        reading.take(response.content or b"")
        return reading
    raw: Any = response.raw
    read1: Any
    below: Any = None
    # Without a connection it was made by a tool, and may lack some of urllib3's methods.
    if isinstance(raw, urllib3.HTTPResponse) and raw.connection:
        if hasattr(raw, "read1"):
            read1 = partial(raw.read1, decode_content=False)
        else:  # urllib3 1
            below = raw._fp
            read1 = below.read1
        encoding = {"Content-Encoding": raw.headers.get("Content-Encoding", "")}
        body: Any = _AsItComes(read1, reading)
        response.raw = urllib3.HTTPResponse(body, encoding, preload_content=False)
        pieces = response.iter_content(PIECE)
    else:
        pieces = reading.pieces_of(response.iter_content(1))  # byte by byte, since they may come slowly
    is_whole = False
    try:
        reading.take_all(pieces)
        is_whole = not reading.cut
        if below is not None:
            below.close()  # or it would not notice that it was read to its end
    finally:
        response.raw = raw
        response._content = reading.content
        response._content_consumed = True  # type: ignore[attr-defined]
        if not is_whole:
            raw.close()  # with its connection, on which more may come
    return reading


def drain(response: requests.Response, seconds: float) -> None:
    """Read the 401, and release its connection. The history keeps its content."""
    # If it cannot be read, its status is enough, and close() drops the connection.
    with suppress(Exception):
        read_within(response, seconds)
    response.close()


def _take_cookies(replay: requests.PreparedRequest, refused: requests.Response) -> None:
    """Add the cookies of the 401, unless the caller has set the Cookie header."""
    jar = replay._cookies  # type: ignore[attr-defined]
    if jar is None or replay.headers.get("Cookie") != _cookie_header(replay, jar):
        return
    extract_cookies_to_jar(jar, refused.request, refused.raw)  # type: ignore[no-untyped-call]
    replay.headers.pop("Cookie", None)
    replay.prepare_cookies(jar)


def _cookie_header(request: requests.PreparedRequest, jar: Any) -> str | None:
    bare = request.copy()
    bare.headers.pop("Cookie", None)
    header: str | None = get_cookie_header(jar, bare)  # type: ignore[no-untyped-call]
    return header


def replay_of(refused: requests.Response, body: Body, token: Token) -> requests.PreparedRequest:
    """The request that was refused, with another token and the cookies of the 401."""
    again = refused.request.copy()
    if isinstance(body, File):
        again.body = body  # type: ignore[assignment]  # reads no more than was sent
    again.headers["Authorization"] = token.authorization
    _take_cookies(again, refused)
    return again


def timeouts_of(timeout: Any) -> dict[str, object]:
    """The connect and read timeouts in any form that requests takes them."""
    if isinstance(timeout, tuple):
        connect, read = timeout
    elif hasattr(timeout, "connect_timeout"):  # urllib3's Timeout
        connect = timeout.connect_timeout
        read = timeout.read_timeout if timeout.total is None else timeout.total
    else:
        connect = read = timeout
    return {"connect": connect, "read": read}
