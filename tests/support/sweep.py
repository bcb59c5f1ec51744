"""Everything that a person, a log, an error report or a pickle could show, searched for credentials."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest

from tests.support.clients import CLIENT_SECRET, Client
from tests.support.servers import BASIC

SECRETS = {"the secret": CLIENT_SECRET, "the Basic value": BASIC.removeprefix("Basic ")}
TOKEN = {"a token": "token-1"}


class Sight:
    """What can be seen of calls, as pairs of a place and a text.

    Attributes:
        shown: Where neither the secret nor a token may be.
        held: Where a token may be: in the user's signed request, in variables of the libraries, and in the
            attributes of our objects.
    """

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []
        self.held: list[tuple[str, str]] = []

    def leaks(self) -> list[str]:
        """Return which credentials are where they must not be."""
        found = {
            f"{name} in {place}"
            for seen, credentials in ((self.shown, SECRETS | TOKEN), (self.held, SECRETS))
            for place, text in seen
            for name, credential in credentials.items()
            if credential in text
        }
        return sorted(found)

    def add_object(self, thing: object) -> None:
        """Add an object of this package, and all others that it refers to."""
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
                self.shown.append((f"the text of {kind}", f"{one!r} {one!s} {one:}"))
                if kind != "Secret":  # which is there to hold one
                    self.held += [(f"{kind}.{name}", repr(value)) for name, value in vars(one).items()]
                    left += vars(one).values()

    def add_error(self, error: BaseException) -> None:
        """Add an exception and those behind it, with their requests, and the variables of frames.

        The frames are ours, and those of requests, urllib3 and aiohttp. httpx's and httpcore's show each
        header, which we cannot help.
        """
        self.shown.append(("a traceback", "".join(traceback.format_exception(error))))
        for one in _chain(error):
            notes = getattr(one, "__notes__", "")
            self.shown.append(
                ("an exception", f"{one} {one!r} {list(map(str, one.args))} {notes} {vars(one)}")
            )
            with suppress(AttributeError, RuntimeError):  # httpx raises if it has no request
                self._add_request(_request_of(one))
            with suppress(AttributeError):
                self.add_response(one.response)  # type: ignore[attr-defined]
            self._add_pickle(one, getattr(one, "request", None))
            for frame in traceback.TracebackException.from_exception(one, capture_locals=True).stack:
                if "thebase_auth/" in frame.filename:
                    self.shown.append(("a variable of ours", f"{frame.locals}"))
                elif any(f"/{library}/" in frame.filename for library in ("requests", "urllib3", "aiohttp")):
                    self.held.append(("a variable of a library", f"{frame.locals}"))

    def add_response(self, response: Any) -> None:
        """Add a response, and its history."""
        if response is None:
            return
        self.shown.append(("a response", f"{response!r} {vars(response).keys()}"))
        self._add_request(_request_of(response))
        self._add_pickle(response, _request_of(response))
        for one in response.history:
            self.add_response(one)

    def _add_request(self, request: Any) -> None:
        if request is None:
            return
        headers = request.headers
        self._around(request).append(
            ("a request", f"{headers!r} {dict(headers)} {getattr(headers, 'raw', '')}")
        )
        rest = (
            f"{request!r} {request.url} {getattr(request, 'hooks', '')} {getattr(request, 'extensions', '')}"
        )
        self.shown.append(("a request", rest))

    def _add_pickle(self, thing: object, request: Any) -> None:
        with suppress(Exception):  # not all can be pickled
            self._around(request).append(("a pickle", pickle.dumps(thing).decode("latin-1")))

    def _around(self, request: Any) -> list[tuple[str, str]]:
        """Return where the headers of *request* belong: only the user's own, if signed, may show a token."""
        if request is None:
            return self.shown
        is_signed = request.headers.get("Authorization", "").startswith("Bearer ")
        is_users = not str(request.url).endswith("/oauth/token")
        return self.held if is_signed and is_users else self.shown

    def add_logs(self, records: Iterable[logging.LogRecord]) -> None:
        """Add log records of anybody but the test server, with the exceptions in them."""
        for record in records:
            if record.name.startswith(("uvicorn", "thebase_auth.testing")):
                continue
            text = f"{record.getMessage()} {vars(record)} {[str(one) for one in record.args or ()]}"
            self.shown.append((f"the log of {record.name}", text))
            if record.exc_info and record.exc_info[1]:
                self.add_error(record.exc_info[1])


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    left: list[Any] = [error]
    while left:
        one = left.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            left += [one.__cause__, one.__context__, *one.args]
    return found


def _request_of(thing: Any) -> Any:
    """Return the request of a response, or of an exception."""
    return thing.request_info if hasattr(thing, "request_info") else thing.request


class Sweep:
    """Makes calls with one client, and keeps all that the user gets of them."""

    def __init__(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        self.client = client
        self.seen = Sight()
        self.caplog = caplog
        caplog.set_level(logging.DEBUG)

    def call(self, auth: Any, url: str, content: Any = None, **options: Any) -> Any:
        """Make a call, and return its status or its exception."""
        outcome: Any
        try:
            reply = self.client.post(auth, url, content, **options)
        except Exception as error:
            outcome = error
            self.seen.add_error(error)
        else:
            outcome = reply.status
            self.seen.add_response(reply.response)
        self.seen.add_object(auth)
        return outcome

    def leaks(self) -> list[str]:
        """Return what the calls have leaked so far, their logs included."""
        assert self.seen.shown
        self.seen.add_logs(self.caplog.records)
        return self.seen.leaks()
