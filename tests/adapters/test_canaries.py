"""Promise 7 on every path on which something goes wrong: canaries are planted, and all that can be seen is swept.

Seen is what a person, a log, an error report or a pickle could show: see `seen_of_error` and its neighbours. The
client secret and its Basic value may be nowhere. An access token may be where the user's own signed
request carries it, and in the file of a cache, and nowhere else: `WHERE_A_TOKEN_MAY_BE`.

Not swept: the variables of frames of httpx and httpcore, which copy each header into a list of bytes before they
send it; a pickle of the auth object itself, which is its credentials (promise 17). What libraries show of a server's
own words, such as the headers that httpcore logs at DEBUG, is named path by path in `Play.not_ours`.
"""

from __future__ import annotations

import base64
import copy
import gc
import json
import logging
import pickle
import socket
import struct
import threading
import traceback
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
import requests
import urllib3

from tests.support.clients import (
    CLIENT_ID,
    CLIENT_SECRET,
    CLIENTS,
    AsyncHttpx,
    Client,
    Httpx,
    auth_for,
)
from tests.support.servers import Answer, Received, Server
from thebase_auth import (
    FileTokenCache,
    PlainHTTPError,
    TheBaseAuth,
    TokenRequestError,
    TokenTimeoutError,
)
from thebase_auth import httpx as for_httpx
from thebase_auth import httpx2 as for_httpx2
from thebase_auth import requests as for_requests
from thebase_auth._hidden import Hidden

BASIC = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
TOKEN = "canary-token"  # how each of them begins
CANARIES = {"the secret": CLIENT_SECRET, "the Basic value": BASIC, "a token": TOKEN}

SIGNED = "the Authorization header of a signed request"
PICKLED_SIGNED = "a pickle of a signed request"
CACHE_FILE = "a file of the cache"
#: The one exception.
WHERE_A_TOKEN_MAY_BE = {SIGNED, PICKLED_SIGNED, CACHE_FILE}

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
        elif type(one).__module__.startswith("thebase_auth") and not isinstance(one, str):
            yield f"the text of {type(one).__name__}", f"{one!r} {one!s} {one:}"
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
        yield (
            "the arguments of an exception",
            f"{one.args} {[str(argument) for argument in one.args]}",
        )
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
    yield (
        "the text of a request",
        f"{request!r} {request!s} {request.headers!r} {getattr(request, 'hooks', '')!r}",
    )
    pairs = list(request.headers.items()) + list(getattr(request.headers, "raw", ()))
    for name, value in pairs:
        bare = name.decode() if isinstance(name, bytes) else name
        yield (
            (
                SIGNED
                if is_signed(request) and bare.lower() == "authorization"
                else "a header of a request"
            ),
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
    return found + [
        request for one in getattr(thing, "history", ()) for request in requests_in(one)
    ]


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
            if record.name.startswith("uvicorn"):
                continue  # the server's
            place = f"the log of {record.name.partition('.')[0]}"
            yield place, f"{record.getMessage()} {record.args!r}"
            yield place, f"{[str(argument) for argument in record.args or ()]}"
            yield (
                place,
                f"{ {name: value for name, value in vars(record).items() if name != 'args'} }",
            )
            if record.exc_info and record.exc_info[1]:
                for where, sight in seen_of_error(record.exc_info[1]):
                    yield f"{where} in {place}", sight
        for warning in self.warned:
            yield "a warning", f"{warning.message} {warning.message!r} {warning}"
        for name in self.threads:
            yield "the name of a thread", name


# The server


class Vendor:
    """Gives canaries for tokens, and takes the last one."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.made = 0
        self.live = ""
        self.token_answer: Callable[[Received], Answer] = self.give_token
        self.api_answer: Answer | None = None

    def __call__(self, request: Received) -> Answer:
        self.watch.look_at_threads()
        if request.path == "/oauth/token":
            return self.token_answer(request)
        if request.authorization != f"Bearer {self.live}":
            return 401, {}, b"refused"
        return self.api_answer or (200, {}, b"accepted")

    def give_token(self, request: Received) -> Answer:
        self.made += 1
        self.live = f"{TOKEN}-{self.made}"
        return as_json(200, access_token=self.live, token_type="bearer", expires_in=3600)


def as_json(status: int, /, **members: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(members).encode()


class RoughServer:
    """Breaks off where it is told to, by path; the last behaviour of each list stays."""

    def __init__(self, *, token: list[str], api: list[str]) -> None:
        self.token, self.api = token, api
        self.made = 0
        self.open: list[socket.socket] = []

    @contextmanager
    def running(self) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join(10)
        for connection in self.open:
            connection.close()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError):
                connection.settimeout(5)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received or (
            received.startswith(b"POST /oauth") and not received.endswith(b"credentials")
        ):
            more = connection.recv(65_536)
            if not more:
                return
            received += more
        is_token = b" /oauth/token " in received
        behaviours = self.token if is_token else self.api
        behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        self.made += is_token
        body = as_json(200, access_token=f"{TOKEN}-{self.made}")[2] if is_token else b"accepted"
        head = "HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n"
        match behaviour:
            case "answers":
                connection.sendall(head.format(200, len(body)).encode() + body)
            case "refuses":
                connection.sendall(head.format(401, 2).encode() + b"{}")
            case "breaks off in the head":
                connection.sendall(b"HTTP/1.")
            case "breaks off in the body":
                connection.sendall(head.format(200, 1000).encode() + body)
            case "breaks off in a refusal":
                connection.sendall(head.format(401, 1000).encode() + body)
            case "talks garbage":
                connection.sendall(b"\x00\x01 garbage, which the libraries quote\r\n\r\n")
            case "resets":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case "is silent":
                self.open.append(connection)
                return
        connection.close()


# The calls


@dataclass
class Play:
    """One client on one path: what it is given, and what came of it."""

    client: Client
    renewal: bool
    server: Server
    vendor: Vendor
    folder: Path
    watch: Watch
    certificates: Any
    outcomes: list[Any] = field(default_factory=list)
    auths: list[Any] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    not_ours: set[str] = field(default_factory=set)  # leaks that are the libraries' own doing

    def auth(self, domain: str | None = None, **options: Any) -> TheBaseAuth:
        auth = auth_for(domain or self.server.url, **options)
        self.auths.append(auth)
        return auth

    def ready(self, **options: Any) -> TheBaseAuth:
        """An auth object that is about to fetch its first token, or to renew it."""
        auth = self.auth(**options)
        if self.renewal:
            assert self.call(auth).status_code == 200
            self.vendor.live = "revoked"
        return auth

    def call(self, auth: Any, url: str | None = None, **options: Any) -> Any:
        """Make a call, and keep its response or its exception."""
        try:
            outcome = send(self.client, auth, url or f"{self.server.url}/v2/users", **options)
        except Exception as error:
            outcome = error
        self.outcomes.append(outcome)
        return outcome

    def seen(self) -> Iterator[Sight]:
        for outcome in self.outcomes:
            if isinstance(outcome, BaseException):
                yield from seen_of_error(outcome, all_frames=self.client.name == "requests")
            else:
                yield from seen_of_response(outcome)
        for auth in self.auths:
            yield from seen_of_object(auth)
            for again in (copy.copy(auth), copy.deepcopy(auth), pickle.loads(pickle.dumps(auth))):
                yield from seen_of_object(again)
        for folder in self.folders:
            yield from seen_of_files(folder)
        yield from self.watch.seen()


def send(
    client: Client,
    auth: Any,
    url: str,
    *,
    content: Any = None,
    timeout: float = 10,
    hooks: list[Callable[..., None]] | None = None,
    request_hooks: list[Callable[..., None]] | None = None,
    follow: bool = False,
    give_up_after: float | None = None,
) -> Any:
    """Send a request by *client* and give the library's own response."""
    method = "GET" if content is None else "POST"
    if not isinstance(client, (Httpx, AsyncHttpx)):
        with requests.Session() as session:
            session.auth = auth
            session.hooks["response"] = hooks or []
            return session.request(
                method, url, data=content, timeout=timeout, allow_redirects=follow
            )
    options: dict[str, Any] = {"auth": auth, "timeout": timeout, "follow_redirects": follow}
    if isinstance(client, Httpx):
        options["event_hooks"] = {"response": hooks or [], "request": request_hooks or []}
        with client.library.Client(**options) as opened:
            return opened.request(method, url, content=content)
    options["event_hooks"] = {
        "response": [as_async(hook) for hook in hooks or []],
        "request": [as_async(hook) for hook in request_hooks or []],
    }
    library = client.library

    async def send_async() -> Any:
        async with library.AsyncClient(**options) as opened:
            if give_up_after is None:
                return await opened.request(method, url, content=content)
            with anyio.fail_after(give_up_after):
                return await opened.request(method, url, content=content)

    return client.run(send_async)


def as_async(hook: Callable[..., None]) -> Callable[..., Any]:
    async def wrapped(thing: Any) -> None:
        hook(thing)

    return wrapped


# The paths: each function takes its play to where something goes wrong, and gives what the client should get
# there: an exception's type, a status, or None where that depends on the machine.

Expected: TypeAlias = "type[BaseException] | int | None"
PATHS: dict[str, Callable[[Play], Expected]] = {}
SOME_CLIENTS_ALONE: dict[str, Callable[[Client], bool]] = {}


def path(
    name: str, clients: Callable[[Client], bool] = lambda client: True
) -> Callable[[Any], Any]:
    def add(function: Callable[[Play], Expected]) -> Callable[[Play], Expected]:
        assert name not in PATHS
        PATHS[name] = function
        SOME_CLIENTS_ALONE[name] = clients
        return function

    return add


ECHO = f"you sent {CLIENT_SECRET} and Basic {BASIC}, {TOKEN}-x"
SECRETS_ECHO = f"you sent {CLIENT_SECRET} and Basic {BASIC}"
WRONG_ANSWERS: dict[str, Answer] = {
    "401, echoed in each member": as_json(
        401, access_token=f"{TOKEN}-x", error=SECRETS_ECHO, error_description=ECHO, code=ECHO, message=ECHO, instance=ECHO
    ),
    "403, echoed in other members": as_json(403, title=ECHO, detail={"headers": [ECHO]}),
    "401, echoed in HTML": (401, {"Content-Type": "text/html"}, f"<pre>{ECHO}</pre>".encode()),
    "401, echoed in headers": (
        401,
        {"WWW-Authenticate": f'Basic realm="{SECRETS_ECHO}"', "Set-Cookie": f"a={BASIC}", "X-Echo": SECRETS_ECHO},
        b"",
    ),
    "400, echoed as JSON in JSON": as_json(400, message=json.dumps({"sent": [SECRETS_ECHO]})),
    "302, echoed in Location": (302, {"Location": f"https://a.example/?{CLIENT_SECRET}&{BASIC}"}, b""),
    "302, echoed in an escaped Location": (
        302,
        {"Location": f"https://a.example/{CLIENT_SECRET.replace('.', '%2E')}?{BASIC.replace('=', '%3d')}"},
        b"",
    ),
    "429, echoed in Retry-After": (429, {"Retry-After": SECRETS_ECHO}, b""),
    "500, echoed in instance": as_json(500, instance=SECRETS_ECHO),
    "200, echoed in its media type": (200, {"Content-Type": f"text/{BASIC}"}, b"x"),
    "200, echoed in token_type": as_json(200, access_token=f"{TOKEN}-x", token_type=ECHO),
    "200, echoed in token_type as a list": as_json(200, access_token=f"{TOKEN}-x", token_type=[ECHO]),
    "200 with a token that no header can carry": as_json(200, access_token=f"{TOKEN} {CLIENT_SECRET} {BASIC}"),
    "200 with a token that is a list": as_json(200, access_token=[f"{TOKEN}-x"], token_type="bearer"),
    "200 with a token in broken JSON": (200, {}, f'{{"access_token": "{TOKEN}-x"'.encode()),
    "200 with a token in a form": (200, {}, f"access_token={TOKEN}-x".encode()),
    "200 with a token and no JSON object": (200, {}, json.dumps([f"{TOKEN}-x", ECHO]).encode()),
}  # fmt: skip


def in_the_logs_of(*libraries: str) -> set[str]:
    return {f"{name} in the log of {library}" for name in CANARIES for library in libraries}


def answer_wrongly(answer: Answer, play: Play) -> Expected:
    auth = play.ready()
    play.vendor.token_answer = lambda request: answer
    play.not_ours |= in_the_logs_of("httpcore", "httpcore2")  # the headers of the answer
    for follow in (False, True):
        play.call(auth, follow=follow and answer[0] != 302)
    return TokenRequestError


for name, wrong in WRONG_ANSWERS.items():
    path(f"token endpoint: {name}")(partial(answer_wrongly, wrong))


@path("token endpoint redirects to one that echoes")
def _(play: Play) -> Expected:
    auth = play.ready()
    # The headers of the answer, and the URL that the client goes on to.
    play.not_ours |= in_the_logs_of("httpcore", "httpcore2", "httpx", "httpx2")
    play.vendor.token_answer = lambda request: (307, {"Location": f"/v2/elsewhere?{BASIC}"}, b"")
    play.call(auth, follow=True)
    return TokenRequestError


@path("token endpoint redirects in a circle", lambda client: client.name != "requests")
def _(play: Play) -> Expected:
    auth = play.ready()
    play.vendor.token_answer = lambda request: (307, {"Location": "/oauth/token"}, b"")
    play.call(auth, follow=True)
    return play.client.library.TooManyRedirects  # type: ignore[attr-defined, no-any-return]


FAILURES = [
    "closes",
    "resets",
    "breaks off in the head",
    "breaks off in the body",
    "talks garbage",
    "is silent",
]


def fail(where: str, behaviour: str, play: Play) -> Expected:
    """The connection fails at the token request, or at the call that a new token was fetched for."""
    before, refusal = (["answers"], ["refuses"]) if play.renewal else ([], [])
    if where == "token request":
        rough = RoughServer(token=[*before, behaviour], api=[*before, *refusal, "answers"])
    else:
        rough = RoughServer(token=["answers"], api=[*before, *refusal, behaviour])
    if behaviour == "breaks off in the body":
        play.not_ours.add(
            "a token in a variable of requests"
        )  # the half of an answer that was read
    patience = 0.25 if behaviour == "is silent" else 10
    with rough.running() as url:
        auth = play.auth(url)
        if play.renewal:
            assert play.call(auth, f"{url}/v2/users").status_code == 200
        play.call(auth, f"{url}/v2/users", timeout=patience) if where == "API call" else play.call(
            auth_with(auth, timeout=patience), f"{url}/v2/users", timeout=patience
        )
    return play.client.error


def auth_with(auth: Any, *, timeout: float) -> Any:
    auth._timeout = timeout  # the one way to reach the token request of requests
    return auth


for where in ("token request", "API call"):
    for behaviour in FAILURES:
        path(f"{where} {behaviour}")(partial(fail, where, behaviour))


@path("a 401 that cannot be read")
def _(play: Play) -> Expected:
    before = ["answers"] if play.renewal else []
    rough = RoughServer(token=["answers"], api=[*before, "breaks off in a refusal", "answers"])
    with rough.running() as url:
        auth = play.auth(url)
        if play.renewal:
            play.call(auth, f"{url}/v2/users")
        play.call(auth, f"{url}/v2/users")
    return 200 if play.client.name == "requests" else play.client.error


@path("nobody listens")
def _(play: Play) -> Expected:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    auth = play.auth(url)
    play.call(auth, f"{url}/v2/users")
    return play.client.error


@path("TLS by a stranger")
def _(play: Play) -> Expected:
    tls = {"ssl_certfile": play.certificates.certificate, "ssl_keyfile": play.certificates.key}
    with Server(play.vendor).running(**tls) as server:
        auth = play.auth(server.url)
        play.call(auth, f"{server.url}/v2/users")
    return play.client.error


@path("TLS with one who speaks plain http")
def _(play: Play) -> Expected:
    url = play.server.url.replace("http://", "https://")
    play.call(play.auth(url), f"{url}/v2/users")
    return play.client.error


@contextmanager
def somebody_fetches(play: Play, auth: Any) -> Iterator[None]:
    """Another caller is at the token endpoint, which lets it wait."""
    arrived, may_go = threading.Event(), threading.Event()

    def hold(request: Received) -> Answer:
        arrived.set()
        may_go.wait(20)
        return play.vendor.give_token(request)

    play.vendor.token_answer = hold
    others = [other for other in CLIENTS if other.name == "httpx"]
    leading = threading.Thread(target=send, args=(others[0], auth, f"{play.server.url}/v2/users"))
    leading.start()
    assert arrived.wait(20)
    try:
        yield
    finally:
        may_go.set()
        leading.join(20)


@path("a waiter whose time is up")
def _(play: Play) -> Expected:
    auth = play.ready()
    with somebody_fetches(play, auth):
        play.call(auth_with(auth, timeout=0.1), timeout=0.1)
    return TokenTimeoutError


@path("a waiter that is cancelled", lambda client: client.is_async)
def _(play: Play) -> Expected:
    auth = play.ready()
    with somebody_fetches(play, auth):
        play.call(auth, give_up_after=0.1)
    return TimeoutError


@path("a leader that is cancelled", lambda client: client.is_async)
def _(play: Play) -> Expected:
    auth = play.ready()
    may_go = threading.Event()

    def hold(request: Received) -> Answer:
        may_go.wait(20)
        return 503, {}, b""

    play.vendor.token_answer = hold
    try:
        play.call(auth, give_up_after=0.1)
    finally:
        may_go.set()
    return TimeoutError


@path("a failure that a waiter shares")
def _(play: Play) -> Expected:
    auth = play.ready()
    arrived, may_go = threading.Event(), threading.Event()

    def hold(request: Received) -> Answer:
        arrived.set()
        may_go.wait(20)
        return WRONG_ANSWERS["401, echoed in each member"]

    play.vendor.token_answer = hold
    calls = [threading.Thread(target=play.call, args=(auth,)) for _ in range(2)]
    for one in calls:
        one.start()
    assert arrived.wait(20)
    may_go.set()
    for one in calls:
        one.join(20)
    return TokenRequestError


@path("plain http to the domain")
def _(play: Play) -> Expected:
    auth = play.auth("acme.thebase.co.il")
    if play.renewal:
        auth._renewal.token = play.auths[0]._renewal.token
    play.call(auth, "http://acme.thebase.co.il/v2/users")
    return PlainHTTPError


@path("a redirect to another host")
def _(play: Play) -> Expected:
    auth = play.ready()
    with Server(lambda request: (401, {}, b"who are you")).running() as other:
        play.vendor.api_answer = (307, {"Location": f"{other.url}/there"}, b"")
        play.call(auth, follow=True)
        assert [one.authorization for one in other.received] == [None]
    return 401


@path("an endpoint that refuses every token")
def _(play: Play) -> Expected:
    auth = play.ready()
    play.vendor.api_answer = (401, {}, b"refused")
    for _ in range(3):
        play.call(auth)
    told = [
        one
        for one in play.watch.records
        if one.levelno >= logging.WARNING and one.name == "thebase_auth"
    ]
    assert len(told) == 1
    return 401


@path("an endpoint that lacks a scope")
def _(play: Play) -> Expected:
    auth = play.ready()
    play.vendor.api_answer = (
        401,
        {"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        b"refused",
    )
    play.call(auth)
    return 401


@path("a body that can be sent once")
def _(play: Play) -> Expected:
    def chunks() -> Iterator[bytes]:
        yield b"once"

    async def async_chunks() -> AsyncIterator[bytes]:
        yield b"once"

    auth = play.ready()
    play.call(auth, content=async_chunks() if play.client.is_async else chunks())
    return 401 if play.renewal else 200


@path("a body that raises")
def _(play: Play) -> Expected:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise LookupError("the user's")

    async def async_chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise LookupError("the user's")

    auth = play.ready()
    play.call(auth, content=async_chunks() if play.client.is_async else chunks())
    return LookupError


@path("a response hook that raises for a 401")
def _(play: Play) -> Expected:
    def hook(response: Any, **options: Any) -> None:
        if response.status_code == 401:
            response.raise_for_status()

    auth = play.ready()
    if not play.renewal:
        play.vendor.token_answer = lambda request: WRONG_ANSWERS["401, echoed in each member"]
    play.call(auth, hooks=[hook])
    if play.client.name == "requests":
        return 200 if play.renewal else TokenRequestError
    return play.client.error


@path("a response hook that raises at once")
def _(play: Play) -> Expected:
    def hook(response: Any, **options: Any) -> None:
        raise LookupError(f"{response!r} {response.request!r} {response.request.headers!r}")

    auth = play.ready()
    play.call(auth, hooks=[hook])
    return LookupError


@path("a request hook that raises", lambda client: client.name != "requests")
def _(play: Play) -> Expected:
    def hook(request: Any) -> None:
        if request.url.path == "/oauth/token":
            error = LookupError(f"{request!r} {request.headers!r} {dict(request.extensions)!r}")
            error.request = request  # type: ignore[attr-defined]
            raise error

    auth = play.ready()
    play.call(auth, request_hooks=[hook])
    return LookupError


class Shelf:
    """A cache that does what a test tells it to, and puts all it knows into what it raises."""

    def __init__(
        self, *, fails_in: str = "", record: Any = None, locked: bool = False, before: str = ""
    ) -> None:
        self.fails_in = fails_in
        self.record = record
        self.locked = locked
        self.given = before

    def __repr__(self) -> str:
        return "Shelf()"

    def load(self, key: str) -> Any:
        self.check("load", key)
        return self.record

    def store(self, key: str, record: str, lifetime: float | None) -> None:
        self.check("store", f"SET {key} {record} {lifetime}")

    def lock(self, key: str, lease: float) -> Callable[[], object] | None:
        self.check("lock", f"{key} {lease}")
        return None if self.locked else partial(self.check, "release", key)

    def check(self, method: str, given: str) -> None:
        self.given += given
        if method == self.fails_in:
            raise OSError(f"cannot {method} {given}, after {self.given}")


def fail_in_the_cache(method: str, play: Play) -> Expected:
    auth = play.ready(cache=Shelf(fails_in=method))
    play.call(auth)
    return 200


for method in ("load", "lock", "store", "release"):
    path(f"a cache that quotes what it was given: {method}")(partial(fail_in_the_cache, method))


@path("a cache that quotes what another process has stored")
def _(play: Play) -> Expected:
    auth = play.ready(cache=Shelf(fails_in="load", before=f'{"0" * 64} [1, "{TOKEN}-x", null]'))
    play.call(auth)
    return 200


FOREIGN = {
    "text": f"{TOKEN}-x {CLIENT_SECRET}",
    "a record with a wrong seal": f'{"0" * 64} [1, "{TOKEN}-x", null]',
    "bytes": f"{TOKEN}-x".encode() + b"\xff",
    "no text at all": [f"{TOKEN}-x"],
}


def load_what_is_foreign(record: Any, play: Play) -> Expected:
    auth = play.ready(cache=Shelf(record=record))
    play.call(auth)
    return 200


for kind, foreign in FOREIGN.items():
    path(f"a cache that gives what is not ours: {kind}")(partial(load_what_is_foreign, foreign))


@path("a cache that another has locked")
def _(play: Play) -> Expected:
    shelf = Shelf()
    auth = auth_with(play.ready(cache=shelf), timeout=0.3)
    shelf.locked = True
    play.call(auth, timeout=0.3)
    return None  # what is left of the time may be too short for a token request


def file_cache(play: Play, spoil: Callable[[Path], Any]) -> Expected:
    folder = play.folder / "cache"
    play.folders.append(folder)
    file = folder / "tokens.json"
    auth = play.ready(cache=FileTokenCache(file))
    folder.mkdir(exist_ok=True)
    if not file.exists():
        file.touch(0o600)
    spoil(file)
    play.call(auth)
    play.call(play.auth(cache=FileTokenCache(file)))
    return 200


def make_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


SPOILT: dict[str, Callable[[Path], Any]] = {
    "as it should be": lambda file: None,
    "open to others": lambda file: file.chmod(0o644),
    "damaged": lambda file: file.write_bytes(b'{"' + file.read_bytes()),
    "a folder in its place": make_a_folder,
}
for kind, spoil in SPOILT.items():
    path(f"a file for a cache: {kind}")(partial(file_cache, spoil=spoil))


@path("a dropped token")
def _(play: Play) -> Expected:
    auth = play.ready()
    play.call(auth)
    auth.forget()
    play.vendor.token_answer = lambda request: (503, {}, b"")
    play.call(auth)
    return TokenRequestError


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(lambda request: (500, {}, b"")).running() as running:
        yield running


CASES = [
    pytest.param(
        client, name, renewal, id=f"{client}-{name}-{'renewal' if renewal else 'first request'}"
    )
    for name in PATHS
    for client in CLIENTS
    for renewal in (False, True)
    if SOME_CLIENTS_ALONE[name](client)
    and not (
        renewal
        and name in {"nobody listens", "TLS by a stranger", "TLS with one who speaks plain http"}
    )
]


@pytest.mark.parametrize(("client", "name", "renewal"), CASES)
def test_promise_7_no_canary_is_seen(
    client: Client,
    name: str,
    renewal: bool,
    server: Server,
    certificates: Any,
    tmp_path: Path,
    capfd: Any,
) -> None:
    if "breaks off in the body" in name and client.name == "requests" and urllib3.__version__ < "2":
        pytest.skip("with the old urllib3, half a body is an answer to requests")
    watch = Watch()
    server.handler = vendor = Vendor(watch)
    server.received.clear()
    play = Play(client, renewal, server, vendor, tmp_path, watch, certificates)
    with watch.watching():
        if renewal and name == "plain http to the domain":
            play.call(play.auth())
        expected = PATHS[name](play)
    outcome = play.outcomes[-1]
    if isinstance(expected, int):
        assert getattr(outcome, "status_code", outcome) == expected
    elif expected is not None:
        assert isinstance(outcome, expected), outcome
    printed = capfd.readouterr()
    seen = [*play.seen(), ("what is printed", printed.out), ("what is printed", printed.err)]
    assert len(seen) > 20
    assert [leak for leak in leaks(seen) if leak not in play.not_ours] == []


# Wrong settings. There, the variables of our own frames are swept for the secret where it belongs; what was put
# into another argument by mistake is not repeated in any text.

CLASSES = {
    "all": TheBaseAuth,
    "requests": for_requests.TheBaseAuth,
    "httpx": for_httpx.TheBaseAuth,
    "httpx2": for_httpx2.TheBaseAuth,
}
RIGHT: dict[str, Any] = {
    "domain": "acme.thebase.co.il", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
}  # fmt: skip
WRONG_SETTINGS: list[dict[str, Any]] = [
    {"domain": CLIENT_SECRET},
    {"domain": f"{CLIENT_SECRET}/"},
    {"domain": f"https://{CLIENT_ID}:{CLIENT_SECRET}@acme.thebase.co.il"},
    {"domain": f"http://{CLIENT_SECRET}"},
    {"domain": [CLIENT_SECRET]},
    {"domain": ""},
    {"client_id": f"{CLIENT_ID}:{CLIENT_SECRET}"},
    {"client_id": CLIENT_SECRET + "\n"},
    {"client_id": None},
    {"client_secret": f"{CLIENT_SECRET}\n"},
    {"client_secret": f"\N{NO-BREAK SPACE}{CLIENT_SECRET}"},
    {"client_secret": f"{CLIENT_SECRET}\u200f."},
    {"client_secret": f"\ud800{CLIENT_SECRET}"},
    {"client_secret": ""},
    {"timeout": 0},
    {"timeout": CLIENT_SECRET},
    {"timeout": float("nan")},
    {"cache": CLIENT_SECRET},
    {"cache": dict},
    {"cache": {CLIENT_SECRET: BASIC}},
    {"retries": 3},
]


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("wrong", WRONG_SETTINGS, ids=lambda wrong: next(iter(wrong)))
def test_promise_7_a_wrong_setting_shows_no_canary(kind: str, wrong: dict[str, Any]) -> None:
    watch = Watch()
    with watch.watching(), pytest.raises((ValueError, TypeError)) as caught:
        CLASSES[kind](**(RIGHT | wrong))
    misplaced = (
        any(name not in ("client_secret", "retries", "timeout") for name in wrong)
        or wrong.get("timeout") == CLIENT_SECRET
    )
    seen = [*seen_of_error(caught.value), *watch.seen()]
    assert any(place == "a variable of ours" for place, _ in seen) or "retries" in wrong
    assert leaks(one for one in seen if not (misplaced and one[0] == "a variable of ours")) == []


def test_promise_7_settings_from_the_environment_show_no_canary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THEBASE_DOMAIN", "acme.thebase.co.il")
    monkeypatch.setenv("THEBASE_CLIENT_ID", CLIENT_ID)
    for secret in (None, "", f"{CLIENT_SECRET}\n", f"{CLIENT_SECRET}\u200f."):
        if secret is not None:
            monkeypatch.setenv("THEBASE_CLIENT_SECRET", secret)
        for kind in CLASSES.values():
            with pytest.raises(ValueError) as caught:
                kind.from_env()
            assert leaks(seen_of_error(caught.value)) == []


# The sweep finds a leak wherever one is planted: else it would find nothing for ever.


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def of_ours(source: str) -> BaseException:
    """What *source* raises as if it were in a module of ours."""
    code = compile(source, "/x/thebase_auth/_planted.py", "exec")
    try:
        exec(code, {})
    except Exception as error:
        return error
    raise AssertionError


def with_note(note: str) -> BaseException:
    error = LookupError()
    error.add_note(note)
    return error


def with_attribute(value: object) -> BaseException:
    error = LookupError()
    error.evidence = value  # type: ignore[attr-defined]
    return error


def behind(canary: str, *, explicitly: bool) -> BaseException:
    try:
        try:
            raise LookupError(canary)
        except LookupError as error:
            if explicitly:
                raise ValueError from error
            raise ValueError
    except ValueError as error:
        return error


class TellsByItsPickleError(Exception):
    def __init__(self, told: str) -> None:
        super().__init__()
        object.__setattr__(self, "told", None)
        self._told = told.encode()

    def __reduce__(self) -> Any:
        return LookupError, (self._told.decode(),)


def a_response(headers: dict[str, str], *, url: str = "https://acme.thebase.co.il/v2/users") -> Any:
    response = requests.Response()
    response.status_code = 200
    response._content = b""
    response.request = requests.Request("GET", url, headers=headers).prepare()
    return response


def after(response: Any) -> Any:
    later = a_response({})
    later.history = [response]
    return later


def ours_with(**members: Any) -> object:
    kind = type("Planted", (), {"__module__": "thebase_auth._planted", **members})
    return kind()


def planted_in_a_log(plant: Callable[[logging.Logger], None]) -> Iterator[Sight]:
    watch = Watch()
    with watch.watching():
        plant(logging.getLogger("anybody.at.all"))
    return watch.seen()


def planted_in_a_warning(canary: str) -> Iterator[Sight]:
    watch = Watch()
    with watch.watching():
        warnings.warn(canary, stacklevel=1)
    return watch.seen()


def planted_in_a_thread(canary: str) -> Iterator[Sight]:
    watch, may_end = Watch(), threading.Event()
    thread = threading.Thread(target=may_end.wait, args=(10,), name=canary)
    with watch.watching():
        thread.start()
        watch.look_at_threads()
        may_end.set()
        thread.join()
    return watch.seen()


def planted_in_a_file(canary: str, folder: Path) -> Iterator[Sight]:
    (folder / "deep").mkdir(exist_ok=True)
    (folder / "deep" / "tokens.json").write_text(canary)
    return seen_of_files(folder)


def raise_and_log(logger: logging.Logger, canary: str) -> None:
    try:
        raise LookupError(canary)
    except LookupError:
        logger.debug("it failed", exc_info=True)


class ShownByStr:
    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __str__(self) -> str:
        return self.canary

    __repr__ = object.__repr__


Planting: TypeAlias = "Callable[[str, Path], Iterable[Sight]]"
PLANTED: dict[str, Planting] = {
    "a log message": lambda canary, _: planted_in_a_log(lambda log: log.debug(canary)),
    "an argument of a log record": lambda canary, _: planted_in_a_log(lambda log: log.debug("%d", 1, extra={"x": canary})),
    "an argument shown by %s": lambda canary, _: planted_in_a_log(lambda log: log.debug("%s", ShownByStr(canary))),
    "an exception in a log": lambda canary, _: planted_in_a_log(lambda log: raise_and_log(log, canary)),
    "a warning": lambda canary, _: planted_in_a_warning(canary),
    "the name of a thread": lambda canary, _: planted_in_a_thread(canary),
    "a file": planted_in_a_file,
    "the text of an exception": lambda canary, _: seen_of_error(raised(LookupError(canary))),
    "an argument of an exception": lambda canary, _: seen_of_error(OSError(1, "text", canary)),
    "an argument that is an object": lambda canary, _: seen_of_error(LookupError("text", ShownByStr(canary))),
    "a note": lambda canary, _: seen_of_error(with_note(canary)),
    "an attribute": lambda canary, _: seen_of_error(with_attribute({"a": [canary]})),
    "the cause": lambda canary, _: seen_of_error(behind(canary, explicitly=True)),
    "the context": lambda canary, _: seen_of_error(behind(canary, explicitly=False)),
    "one of a group": lambda canary, _: seen_of_error(ExceptionGroup("text", [LookupError(canary)])),
    "an exception among the arguments": lambda canary, _: seen_of_error(LookupError(with_note(canary))),
    "a variable of ours": lambda canary, _: seen_of_error(of_ours(f"secret = {canary!r}\nraise LookupError")),
    "the pickle of an exception": lambda canary, _: seen_of_error(TellsByItsPickleError(canary)),
    "a header of the request of an exception": lambda canary, _: seen_of_error(
        requests.ConnectionError(request=a_response({"X-Sent": canary}).request)
    ),
    "a header of a response's request": lambda canary, _: seen_of_response(a_response({"X-Sent": canary})),
    "a header in the history": lambda canary, _: seen_of_response(after(a_response({"X-Sent": canary}))),
    "a header deep in the history": lambda canary, _: seen_of_response(after(after(a_response({"X-Sent": canary})))),
    "the Authorization of a token request": lambda canary, _: seen_of_response(
        a_response({"Authorization": f"Bearer {canary}"}, url="https://acme.thebase.co.il/oauth/token")
    ),
    "a URL": lambda canary, _: seen_of_response(a_response({}, url=f"https://acme.thebase.co.il/{canary}")),
    "the repr of ours": lambda canary, _: seen_of_object(ours_with(__repr__=lambda self: canary)),
    "the str of ours": lambda canary, _: seen_of_object(ours_with(__str__=lambda self: canary)),
    "the format of ours": lambda canary, _: seen_of_object(ours_with(__format__=lambda self, spec: canary)),
    "an attribute of ours": lambda canary, _: seen_of_object(with_member(ours_with(), canary)),
    "an attribute of ours in ours": lambda canary, _: seen_of_object(
        with_member(ours_with(), {"a": [with_member(ours_with(), canary)]})
    ),
    "a slot of ours": lambda canary, _: seen_of_object(with_member(ours_with(__slots__=("member",)), canary)),
}  # fmt: skip


def with_member(thing: Any, member: Any) -> Any:
    thing.member = member
    return thing


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("place", PLANTED)
def test_a_canary_that_is_planted_is_found(place: str, canary: str, tmp_path: Path) -> None:
    found = leaks(PLANTED[place](CANARIES[canary], tmp_path))
    if canary == "a token" and place == "a file":
        assert found == []  # it is there by design
    else:
        assert found
        assert all(one.startswith(f"{canary} in ") for one in found)


@pytest.mark.parametrize("canary", CANARIES)
def test_a_canary_in_the_header_of_a_signed_request_is_found_unless_it_is_a_token(
    canary: str,
) -> None:
    authorization = Hidden(f"Bearer {CANARIES[canary]}")
    seen = [*seen_of_response(after(a_response({"Authorization": authorization})))]
    assert bool(leaks(seen)) == (canary != "a token")


def test_a_canary_in_a_header_of_bytes_is_found() -> None:
    import httpx

    request = httpx.Request("GET", "https://acme.thebase.co.il", headers={"X-Sent": CLIENT_SECRET})
    assert leaks(sight for sight in seen_of_request(request) if isinstance(sight[1], bytes))


def test_a_canary_in_a_variable_of_requests_is_found_where_all_frames_are_swept() -> None:
    code = compile(f"secret = {BASIC!r}\nraise LookupError", "/x/requests/adapters.py", "exec")
    with pytest.raises(LookupError) as caught:
        exec(code, {})
    assert leaks(seen_of_error(caught.value)) == []
    assert leaks(seen_of_error(caught.value, all_frames=True)) == [
        "the Basic value in a variable of requests"
    ]


def test_the_paths_are_those_of_every_client() -> None:
    named = {(str(case.values[0]), case.values[1]) for case in CASES}
    assert len(PATHS) > 50
    for client in CLIENTS:
        assert sum(name == str(client) for name, _ in named) > 45
