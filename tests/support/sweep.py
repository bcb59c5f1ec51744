"""What a person, a log, an error report or a pickle could show, swept for canaries."""

from __future__ import annotations

import base64
import gc
import logging
import pickle
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.clients import CLIENT_ID, CLIENT_SECRET
from thebase_auth._core.hidden import Hidden

BASIC = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
TOKEN = "canary-token"  # how each of them begins
CANARIES = {"the secret": CLIENT_SECRET, "the Basic value": BASIC, "a token": TOKEN}

SIGNED = "the Authorization header of a signed request"
PICKLED_SIGNED = "a pickle of a signed request"
CACHE_FILE = "a file of the cache"
#: The one exception, the object that is the token, and what requests does with the headers of a request.
WHERE_A_TOKEN_MAY_BE = {
    SIGNED,
    PICKLED_SIGNED,
    CACHE_FILE,
    *(f"{kind}.{name}" for kind in ("Token", "CachedToken") for name in ("access_token", "authorization")),
    "a variable of requests",
}

Sight: TypeAlias = "tuple[str, str | bytes]"
"""Where something can be seen, and what."""


# The sweep


def leaks(seen: Iterable[Sight]) -> list[str]:
    """Which canary is seen where it must not be."""
    return sorted({
        f"{name} in {place}"
        for place, sight in seen
        for name, canary in CANARIES.items()
        if (canary in sight if isinstance(sight, str) else canary.encode() in sight)
        and not (name == "a token" and place in WHERE_A_TOKEN_MAY_BE)
    })  # fmt: skip


def seen_of_object(thing: object) -> Iterator[Sight]:
    """An object of ours, and all of ours that hangs off it, as shown by ``print`` and by debuggers."""
    known: set[int] = set()
    left = [thing]
    while left:
        one = left.pop()
        if id(one) in known:
            continue
        known.add(id(one))
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, (list, tuple, set, deque)) and type(one).__module__ in (
            "builtins",
            "collections",
        ):
            left += one
        elif type(one).__module__.startswith("thebase_auth"):
            yield f"the text of {type(one).__name__}", f"{one!r} {one!s} {one:}"
            if isinstance(one, Hidden):
                continue  # what it is there for
            for name, value in attributes(one).items():
                yield f"{type(one).__name__}.{name}", repr(value)
                left.append(value)


def attributes(thing: object) -> dict[str, Any]:
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    return {name: getattr(thing, name) for name in slots if hasattr(thing, name)} | getattr(
        thing, "__dict__", {}
    )


def seen_of_error(error: BaseException, *, all_frames: bool = False) -> Iterator[Sight]:
    """An exception and those behind it: text, arguments, notes, attributes, requests, traceback, pickle."""
    yield "a traceback", "".join(traceback.format_exception(error))
    for one in chain(error):
        yield "the text of an exception", f"{one} {one!r}"
        yield ("the arguments of an exception", f"{one.args} {[str(argument) for argument in one.args]}")
        yield "the notes of an exception", f"{getattr(one, '__notes__', '')}"
        yield "the attributes of an exception", f"{vars(one)}"
        for name in ("request", "response"):
            with suppress(AttributeError, RuntimeError):  # httpx raises where there is none
                thing = getattr(one, name)
                yield from seen_of_request(thing) if name == "request" else seen_of_response(thing)
        yield from seen_of_pickle(one)
        for frame in traceback.TracebackException.from_exception(one, capture_locals=True).stack:
            ours = "thebase_auth/" in frame.filename.replace("\\", "/")
            theirs = any(f"/{library}/" in frame.filename for library in ("requests", "urllib3"))
            if ours or (all_frames and theirs):
                yield f"a variable of {'ours' if ours else 'requests'}", f"{frame.locals}"


def chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and one not in found:
            found.append(one)
            left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
            left += [argument for argument in one.args if isinstance(argument, BaseException)]
    return found


def seen_of_request(request: Any) -> Iterator[Sight]:
    if request is None:
        return
    yield ("the text of a request", f"{request!r} {request!s} {getattr(request, 'hooks', '')!r}")
    yield SIGNED if is_signed(request) else "the headers of a request", repr(request.headers)
    pairs = list(request.headers.items()) + list(getattr(request.headers, "raw", ()))
    for name, value in pairs:
        bare = name.decode() if isinstance(name, bytes) else name
        yield (
            (SIGNED if is_signed(request) and bare.lower() == "authorization" else "a header of a request"),
            value,
        )
    yield "the URL of a request", str(request.url)
    yield "the extensions of a request", f"{getattr(request, 'extensions', '')}"


def is_signed(request: Any) -> bool:
    """Whether it is one of the user's own, which carries a token."""
    authorization = request.headers.get("Authorization", "")
    return authorization.startswith("Bearer ") and not str(request.url).endswith("/oauth/token")


def requests_in(thing: Any) -> list[Any]:
    """The requests that a response, or an exception, holds."""
    found = []
    for name in ("request", "response"):
        with suppress(AttributeError, RuntimeError):
            one = getattr(thing, name)
            found += [one] if hasattr(one, "headers") and name == "request" else requests_in(one)
    return found + [request for one in getattr(thing, "history", ()) for request in requests_in(one)]


def seen_of_pickle(thing: Any) -> Iterator[Sight]:
    try:
        kept = pickle.dumps(thing)
    except Exception as error:  # not all can be pickled, and that is said without showing it
        yield "the error of pickling", f"{error} {error!r}"
        return
    yield (PICKLED_SIGNED if any(map(is_signed, requests_in(thing))) else "a pickle"), kept
    with suppress(Exception):
        yield "the text of what was pickled", f"{pickle.loads(kept)!r}"


def seen_of_response(response: Any) -> Iterator[Sight]:
    """A response, and all that came before it."""
    if response is None:
        return
    yield "the text of a response", f"{response!r} {response!s} {vars(response).keys()}"
    yield from seen_of_request(response.request)
    yield from seen_of_pickle(response)
    for one in response.history:
        yield from seen_of_response(one)


def seen_of_files(folder: Path) -> Iterator[Sight]:
    for path in folder.rglob("*"):
        yield "the name of a file", path.name
        if path.is_file():
            yield CACHE_FILE, path.read_bytes()


class Watch(logging.Handler):
    """Keeps what is logged by anyone at any level, warned of, and the names of threads."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self.warned: list[warnings.WarningMessage] = []
        self.threads: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.look_at_threads()

    def look_at_threads(self) -> None:
        self.threads |= {thread.name for thread in threading.enumerate()}

    @contextmanager
    def watching(self) -> Iterator[None]:
        root = logging.getLogger()
        before = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        try:
            with warnings.catch_warnings(record=True) as self.warned:
                warnings.simplefilter("always")
                yield
                gc.collect(1)  # what is collected may warn too
        finally:
            root.removeHandler(self)
            root.setLevel(before)
            self.look_at_threads()

    def seen(self) -> Iterator[Sight]:
        for record in self.records:
            if record.name.startswith(("uvicorn", "thebase_auth.testing.server")):
                continue  # the server's
            place = f"the log of {record.name.partition('.')[0]}"
            yield place, f"{record.getMessage()} {record.args!r}"
            yield place, f"{[str(argument) for argument in record.args or ()]}"
            yield (place, f"{ {name: value for name, value in vars(record).items() if name != 'args'} }")
            if record.exc_info and record.exc_info[1]:
                for where, sight in seen_of_error(record.exc_info[1]):
                    yield f"{where} in {place}", sight
        for warning in self.warned:
            yield "a warning", f"{warning.message} {warning.message!r} {warning}"
        for name in self.threads:
            yield "the name of a thread", name
