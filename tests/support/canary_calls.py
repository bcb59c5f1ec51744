"""Calls that go wrong in a certain way, and all that can be seen of them."""

from __future__ import annotations

import copy
import json
import pickle
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import requests

from tests.support.clients import AsyncHttpx, Client, Httpx, auth_for
from tests.support.servers import Answer, Received, Server
from tests.support.sweep import (
    TOKEN,
    Sight,
    Watch,
    seen_of_error,
    seen_of_files,
    seen_of_object,
    seen_of_response,
)
from thebase_auth import TheBaseAuth

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
            return session.request(method, url, data=content, timeout=timeout, allow_redirects=follow)
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
