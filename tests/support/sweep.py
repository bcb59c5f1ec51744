"""Everything that a person, a log, an error report or a pickle could show, searched for credentials."""

from __future__ import annotations

import base64
import logging
import pickle
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import pytest

from tests.support.clients import CLIENT_ID, CLIENT_SECRET, Client

BASIC = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
CANARIES = {"the secret": CLIENT_SECRET, "the Basic value": BASIC, "a token": "token-1"}

#: Where a token may be: in the user's own signed request, and in the object that is the token.
SIGNED = "a signed request"
IN_LIBRARIES = "a variable of requests, urllib3 or aiohttp"
OURS = "a variable of ours"
PLACES_OF_TOKENS = {SIGNED, IN_LIBRARIES, "Token.access_token", "Token.authorization"}

Sight: TypeAlias = "tuple[str, str | bytes]"
"""A place, and what it shows."""


def leaks(seen: Iterable[Sight]) -> list[str]:
    """Which canaries are where they must not be."""
    found = set()
    for place, sight in seen:
        shown = sight if isinstance(sight, str) else sight.decode("latin-1")
        for name, canary in CANARIES.items():
            if canary in shown and not (name == "a token" and place in PLACES_OF_TOKENS):
                found.add(f"{name} in {place}")
    return sorted(found)


def seen_of_object(thing: object) -> Iterator[Sight]:
    """An object of this package, and all others that it refers to."""
    known: set[int] = set()
    left = [thing]
    while left:
        one = left.pop()
        if id(one) in known:
            continue
        known.add(id(one))
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, (list, tuple, set)):
            left += one
        elif type(one).__module__.startswith("thebase_auth"):
            kind = type(one).__name__
            yield f"the text of {kind}", f"{one!r} {one!s} {one:}"
            if kind == "Secret":
                continue  # it is there to hold one
            for name, value in vars(one).items():
                yield f"{kind}.{name}", repr(value)
                left.append(value)


def seen_of_error(error: BaseException) -> Iterator[Sight]:
    """An exception and those behind it, with their requests, and the variables of frames.

    The frames are ours, and those of requests, urllib3 and aiohttp. httpx's and httpcore's show each header,
    which we cannot help.
    """
    yield "a traceback", "".join(traceback.format_exception(error))
    for one in _chain(error):
        yield "an exception", f"{one} {one!r} {one.args} {[str(argument) for argument in one.args]}"
        yield "the notes and attributes of an exception", f"{getattr(one, '__notes__', '')} {vars(one)}"
        with suppress(Exception):  # not all can be pickled
            signed = _is_signed(getattr(one, "request", None))
            yield SIGNED if signed else "the pickle of an exception", pickle.dumps(one)
        with suppress(AttributeError, RuntimeError):  # httpx raises if there is none
            yield from _seen_of_request(_request_of(one))
        with suppress(AttributeError):
            yield from seen_of_response(one.response)  # type: ignore[attr-defined]
        for frame in traceback.TracebackException.from_exception(one, capture_locals=True).stack:
            if "thebase_auth/" in frame.filename:
                yield OURS, f"{frame.locals}"
            elif any(f"/{library}/" in frame.filename for library in ("requests", "urllib3", "aiohttp")):
                yield IN_LIBRARIES, f"{frame.locals}"


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    left: list[Any] = [error]
    while left:
        one = left.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            left += [one.__cause__, one.__context__, *one.args]
    return found


def seen_of_response(response: Any) -> Iterator[Sight]:
    """A response, and its history."""
    if response is None:
        return
    yield "a response", f"{response!r} {vars(response).keys()}"
    yield from _seen_of_request(_request_of(response))
    with suppress(Exception):
        yield (
            SIGNED if _is_signed(_request_of(response)) else "the pickle of a response",
            pickle.dumps(response),
        )
    for one in response.history:
        yield from seen_of_response(one)


def _request_of(thing: Any) -> Any:
    """The request of a response, or of an exception."""
    return thing.request_info if hasattr(thing, "request_info") else thing.request


def _seen_of_request(request: Any) -> Iterator[Sight]:
    if request is None:
        return
    place = SIGNED if _is_signed(request) else "a request"
    yield place, f"{request.headers!r} {dict(request.headers)} {getattr(request.headers, 'raw', '')}"
    rest = f"{request!r} {request.url} {getattr(request, 'hooks', '')} {getattr(request, 'extensions', '')}"
    yield "a request", rest


def _is_signed(request: Any) -> bool:
    """Whether it is the user's own, which carries a token."""
    if request is None:
        return False
    authorization = request.headers.get("Authorization", "")
    return authorization.startswith("Bearer ") and not str(request.url).endswith("/oauth/token")


def seen_of_logs(records: Iterable[logging.LogRecord]) -> Iterator[Sight]:
    """Log records of anybody but the test server, with the exceptions in them."""
    for record in records:
        if record.name.startswith(("uvicorn", "thebase_auth.testing")):
            continue
        place = f"the log of {record.name}"
        yield place, f"{record.getMessage()} {vars(record)} {[str(one) for one in record.args or ()]}"
        if record.exc_info and record.exc_info[1]:
            for where, sight in seen_of_error(record.exc_info[1]):
                yield f"{where} in {place}", sight


class Sweep:
    """Makes calls with one client, and keeps all that the user gets of them."""

    def __init__(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        self.client = client
        self.seen: list[Sight] = []
        self.caplog = caplog
        caplog.set_level(logging.DEBUG)

    def call(self, auth: Any, url: str, content: Any = None, **options: Any) -> Any:
        """Make a call, and return its status or its exception."""
        outcome: Any
        try:
            reply = self.client.post(auth, url, content, **options)
        except Exception as error:
            outcome = error
            self.seen += seen_of_error(error)
        else:
            outcome = reply.status
            self.seen += seen_of_response(reply.response)
        self.seen += seen_of_object(auth)
        return outcome

    def leaks(self) -> list[str]:
        """What the calls have leaked so far, their logs included."""
        assert len(self.seen) > 10
        return leaks([*self.seen, *seen_of_logs(self.caplog.records)])
