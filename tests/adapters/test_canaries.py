"""On every path on which something goes wrong, canaries are planted, and all that can be seen is swept.

Seen is what a person, a log, an error report or a pickle could show: see `seen_of_error` and its neighbours.
The client secret and its Basic value may be nowhere. An access token may be where the user's own signed
request carries it, and in the file of a cache, and nowhere else: `WHERE_A_TOKEN_MAY_BE`.

Not swept: the variables of frames of httpx and httpcore, which copy each header into a list of bytes before
they send it; a pickle of the auth object itself, which is its credentials. What libraries show of a server's
own words, such as the headers that httpcore logs at DEBUG, is named path by path in `Play.not_ours`.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.canary_calls import Play, RoughServer, Vendor, as_json, send
from tests.support.clients import CLIENT_SECRET, CLIENTS, Client
from tests.support.servers import Answer, Received, Server
from tests.support.sweep import BASIC, CANARIES, TOKEN, Watch, leaks
from thebase_auth import FileTokenCache, PlainHTTPError, TokenRequestError, TokenTimeoutError

# The paths: each function takes its play to where something goes wrong, and gives what the client should get
# there: an exception's type, a status, or None where that depends on the machine.

Expected: TypeAlias = "type[BaseException] | int | None"
PATHS: dict[str, Callable[[Play], Expected]] = {}
SOME_CLIENTS_ALONE: dict[str, Callable[[Client], bool]] = {}


# What is one code for all clients is tried in one of them, and in the next one the next.
turns = cycle(CLIENTS)


def in_turn() -> Callable[[Client], bool]:
    client = next(turns)
    return lambda other: other is client


def path(name: str, clients: Callable[[Client], bool] = lambda client: True) -> Callable[[Any], Any]:
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
    path(f"token endpoint: {name}", in_turn())(partial(answer_wrongly, wrong))


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
    # A client that is told to follow redirects carries the header along, on this host.
    play.not_ours |= {"the Basic value in a header of a request", "the Basic value in a pickle"}
    play.call(auth, follow=True)
    return play.client.library.TooManyRedirects  # type: ignore[attr-defined]


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
        play.not_ours.add("a token in a variable of requests")  # the half of an answer that was read
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
    auth._core.timeout = timeout  # the one way to reach the token request of requests
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
    return 200


@path("nobody listens")
def _(play: Play) -> Expected:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    auth = play.auth(url)
    play.call(auth, f"{url}/v2/users")
    return play.client.error


@path("TLS by a stranger")
def _(play: Play) -> Expected:
    with Server(play.vendor).running(**play.certificates.tls) as server:
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
        auth._core.shared.token = play.auths[0]._core.shared.token
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
        one for one in play.watch.records if one.levelno >= logging.WARNING and one.name == "thebase_auth"
    ]
    assert len(told) == 1
    return 401


@path("an endpoint that lacks a scope")
def _(play: Play) -> Expected:
    auth = play.ready()
    play.vendor.api_answer = (401, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}, b"refused")
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
        raise LookupError(f"{response!r} {response.request!r}")

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
    path(f"a cache that quotes what it was given: {method}", in_turn())(partial(fail_in_the_cache, method))


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
    path(f"a cache that gives what is not ours: {kind}", in_turn())(partial(load_what_is_foreign, foreign))


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
    path(f"a file for a cache: {kind}", in_turn())(partial(file_cache, spoil=spoil))


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
    pytest.param(client, name, renewal, id=f"{client}-{name}-{'renewal' if renewal else 'first request'}")
    for name in PATHS
    for client in CLIENTS
    for renewal in (False, True)
    if SOME_CLIENTS_ALONE[name](client)
    and not (
        renewal and name in {"nobody listens", "TLS by a stranger", "TLS with one who speaks plain http"}
    )
]


@pytest.mark.parametrize(("client", "name", "renewal"), CASES)
def test_no_canary_is_seen(
    client: Client, name: str, renewal: bool, server: Server, certificates: Any, tmp_path: Path, capfd: Any
) -> None:
    if "breaks off in the body" in name and client.name == "requests" and version("urllib3") < "2":
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


def test_the_paths_are_those_of_every_client() -> None:
    named = {(str(case.values[0]), case.values[1]) for case in CASES}
    assert len(PATHS) > 50
    for client in CLIENTS:
        assert sum(name == str(client) for name, _ in named) >= 35
