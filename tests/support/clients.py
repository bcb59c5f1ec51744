"""The HTTP libraries behind one interface, so that a promise made for all is tested on all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx
import httpx2
import pytest
import requests
import trio
from requests.adapters import HTTPAdapter

from thebase_auth import TheBaseAuth

CLIENT_ID = "LvTJmqtlvEKyuqvz1brRMg.."
CLIENT_SECRET = "kZ3mY0o7TqWc1uXv9sBf2Q.."


@dataclass
class Reply:
    """What came back, in the words of no library."""

    status: int
    body: bytes
    history: list[int]
    response: Any = field(repr=False)


def _reply(response: Any) -> Reply:
    history = [one.status_code for one in response.history]
    return Reply(response.status_code, response.content, history, response)


class Client:
    """One library in one of its forms. Each call opens a client of its own."""

    error: type[Exception]
    is_async = False

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name

    def send(
        self, auth: Any, method: str, url: str, *, follow_redirects: bool = False, **options: Any
    ) -> Reply:
        """Send one request and read its response. ``content`` is the body in every library."""
        raise NotImplementedError

    def get(self, auth: Any, url: str, **options: Any) -> Reply:
        return self.send(auth, "GET", url, **options)

    def post(self, auth: Any, url: str, content: Any = None, **options: Any) -> Reply:
        return self.send(auth, "POST", url, content=content, **options)


class Requests(Client):
    error = requests.RequestException

    def send(
        self, auth: Any, method: str, url: str, *, follow_redirects: bool = False, **options: Any
    ) -> Reply:
        content = options.pop("content", None)
        if content is not None:
            options["data"] = content
        with requests.Session() as session:
            session.auth = auth
            options = {"timeout": 10, "allow_redirects": follow_redirects} | options
            return _reply(session.request(method, url, **options))


class Httpx(Client):
    def __init__(self, library: Any, run: Callable[..., Any] | None = None) -> None:
        """*run* runs an async function, for an ``AsyncClient``."""
        form = "" if run is None else f" on {run.__module__.partition('.')[0]}"
        super().__init__(library.__name__ + form)
        self.library, self.error, self.run = library, library.HTTPError, run
        self.is_async = run is not None

    def send(
        self, auth: Any, method: str, url: str, *, follow_redirects: bool = False, **options: Any
    ) -> Reply:
        settings = {name: options.pop(name) for name in ("verify", "cookies") if name in options}
        options = {"timeout": 10, "follow_redirects": follow_redirects} | options
        if self.run is None:
            with self.library.Client(auth=auth, **settings) as client:
                return _reply(client.request(method, url, **options))

        async def send() -> Any:
            async with self.library.AsyncClient(auth=auth, **settings) as client:
                return await client.request(method, url, **options)

        return _reply(self.run(send))


def run_asyncio(function: Callable[[], Any]) -> Any:
    return asyncio.run(function())


run_asyncio.__module__ = "asyncio"

ALL_CLIENTS: list[Client] = [
    Requests("requests"),
    Httpx(httpx),
    Httpx(httpx2),
    Httpx(httpx, run_asyncio),
    Httpx(httpx, trio.run),
    Httpx(httpx2, run_asyncio),
    Httpx(httpx2, trio.run),
]


#: One of each way to wait, and each library once; all of them with `--all-clients`.
CLIENTS = [client for client in ALL_CLIENTS if str(client) in {"requests", "httpx", "httpx2 on trio"}]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a `client` with each of them; a folder's conftest imports this hook."""
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "client" in metafunc.fixturenames and not any("client" in names for names in named):
        metafunc.parametrize("client", CLIENTS, ids=str)


def each_in_some_client(name: str, values: Iterable[Any]) -> pytest.MarkDecorator:
    """Parametrize by values whose treatment does not differ between the clients: each with one of them."""
    return pytest.mark.parametrize((name, "client"), list(zip(values, cycle(CLIENTS))))


def auth_for(domain: str, **options: Any) -> TheBaseAuth:
    """An auth object with the credentials that the test servers know."""
    return TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET, **options)


class RecordingAdapter(HTTPAdapter):
    """Keeps the settings with which requests sends each request."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[dict[str, Any]] = []

    def send(self, request: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        self.sent.append(kwargs)
        return super().send(request, **kwargs)


def one_time_body(client: Client) -> Any:
    if client.is_async:

        async def chunks() -> Any:
            yield b"on"
            yield b"ce"

        return chunks()
    return iter([b"on", b"ce"])
