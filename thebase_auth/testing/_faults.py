# What goes wrong because a test asked for it: the faults still to come, and which request meets which; the
# gate where token requests are held.

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from thebase_auth._core.flight import Event

from ._messages import NOT_GIVEN, CallPattern, Request, Response, json_response

# What RFC 9110 5.1 and 5.5 allow.
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE: Final = re.compile(r"([!-~\x80-\xff]([ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?")
_OF_THE_SERVER: Final = {"content-length", "transfer-encoding"}

_MOST: Final = 1000  # each request looks through all of them

Fault = TypeVar("Fault")


class Drop(Enum):
    """Drop the connection without a response, before the request is carried out or after."""

    BEFORE = auto()
    AFTER = auto()


def response_of(
    status: int, body: str | bytes, content_type: str, json: object, headers: Mapping[str, str]
) -> Response:
    """The response that a test asks for.

    Raises:
        ValueError: if an argument cannot be sent.
        TypeError: if *body* is neither text nor bytes, *json* cannot be JSON, or both are given.
    """
    if not 200 <= status < 600:
        raise ValueError(f"status must be from 200 to 599, not {status}")
    if not isinstance(body, str | bytes):
        raise TypeError(f"body must be text or bytes, not {type(body).__name__}; give JSON as json=")
    if json is not NOT_GIVEN:
        if body:
            raise TypeError("give body or json, not both")
        body = json_response(json).body
    content = body.encode() if isinstance(body, str) else body
    fields = {}
    for name, value in ("Content-Type", content_type), *headers.items():
        if not _FIELD_NAME.fullmatch(name) or name.lower() in _OF_THE_SERVER:
            raise ValueError(f"there can be no header field {name!r}")
        if not (isinstance(value, str) and _FIELD_VALUE.fullmatch(value)):
            raise ValueError(f"the header field {name} cannot be {value!r}: only Latin-1, on one line")
        fields[name.lower()] = (name, value)
    return Response(status, content, tuple(fields.values()))


@dataclass(eq=False)
class _Entry(Generic[Fault]):
    call: str
    pattern: CallPattern
    fault: Fault
    times: int


class Faults(Generic[Fault]):
    """The faults that the next requests meet, each so many times, in the order in which they were added.

    Not thread-safe.
    """

    def __init__(self) -> None:
        self._queue: list[_Entry[Fault]] = []

    def add(self, call: str, fault: Fault, times: int) -> None:
        """Let the next requests of a *call* meet a fault.

        Raises:
            ValueError: if *call* is not a call, *times* is less than 1, or too many faults are waiting.
        """
        if len(self._queue) >= _MOST:
            raise ValueError(f"{_MOST} levers wait for requests already; reset() removes them")
        if times < 1:
            raise ValueError(f"times must be at least 1, not {times}")
        self._queue.append(_Entry(call, CallPattern(call), fault, times))

    def take(self, request: Request) -> Fault | None:
        """Remove the fault that this request meets from the queue, and return it."""
        for entry in self._queue:
            if entry.pattern.matches(request.method, request.path):
                entry.times -= 1
                if not entry.times:
                    self._queue.remove(entry)
                return entry.fault
        return None

    def left(self) -> list[tuple[str, Fault, int]]:
        """The faults that no request has met, each with the call that it is for, and how often."""
        return [(entry.call, entry.fault, entry.times) for entry in self._queue]


class Gate:
    """Where token requests arrive, are counted, and held while a test wants that. Thread-safe.

    Attributes:
        count: How many have arrived.
    """

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()
        self._holds = 0
        self._release = Event()

    def arrive(self) -> Event | None:
        """Count a token request, and return what it has to wait for, if it is held."""
        with self._changed:
            self.count += 1
            self._changed.notify_all()
            return self._release if self._holds else None

    def reset(self) -> None:
        """Count from zero again."""
        with self._changed:
            self.count = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the token requests that arrive in the block, until the last such block has ended."""
        with self._changed:
            if not self._holds:
                self._release = Event()
            self._holds += 1
        try:
            yield
        finally:
            with self._changed:
                self._holds -= 1
                if not self._holds:
                    self._release.finish()

    def wait_for(self, count: int, timeout: float) -> None:
        """Wait until so many have arrived.

        Raises:
            TimeoutError: if fewer have after *timeout* seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.count >= count, timeout):
                raise TimeoutError(f"{self.count} token requests in {timeout} s, not {count}")
