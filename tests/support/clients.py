"""The HTTP libraries behind one interface, so that a promise made for all is tested on all."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import trio
from requests.adapters import HTTPAdapter

import thebase_auth.aiohttp
from tests.support.certificates import Certificates
from thebase_auth import TheBaseAuth

CLIENT_ID = "LvTJmqtlvEKyuqvz1brRMg.."
CLIENT_SECRET = "kZ3mY0o7TqWc1uXv9sBf2Q.."
ASYNC_BODIES = {"none", "bytes", "text", "generator", "iterable that looks repeatable"}


def run_asyncio(function: Callable[[], Any]) -> Any:
    return asyncio.run(function())


run_asyncio.__module__ = "asyncio"


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
    """One library in one of its forms. Each call opens a client of its own.

    Attributes:
        bodies: The kinds of bodies that it sends, as the tests of bodies name them.
        connection_error: What it raises if a connection fails.
        error: What it raises, whatever has failed.
        follows_token_redirects: Whether it follows a redirect of the token endpoint before we see it.
        is_async: Whether its calls are awaited.
        is_combined: Whether `thebase_auth.TheBaseAuth` signs its calls.
        pickles_responses: Whether a response can be pickled.
        redirects_rewind_files: Whether a redirect sends a file again.
        redirects_start_history: Whether the history of a call begins at its last redirect.
        run: Runs an async function, if it is async.
        shows_the_401: Whether a 401 that was replayed is in the history, and its cookies are kept.
        shows_why_waiters_gave_up: Whether the failure of another caller's token request is known.
        streams_files: Whether the files of a form are read while they are sent.
    """

    bodies = ASYNC_BODIES | {"BytesIO", "file", "half of a file", "list", "unseekable file", "pipe"}
    connection_error: type[Exception]
    error: type[Exception]
    follows_token_redirects = False
    is_async = False
    is_combined = True
    pickles_responses = True
    redirects_rewind_files = True
    redirects_start_history = False
    run: Any = None
    shows_the_401 = True
    shows_why_waiters_gave_up = True
    streams_files = True

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name

    def send(
        self, auth: Any, method: str, url: str, *, follow_redirects: bool = False, **options: Any
    ) -> Reply:
        """Send one request and read its response. ``content`` is the body in every library."""
        raise NotImplementedError

    def over_tls(self, domain: str, certificates: Certificates) -> tuple[Any, Any]:
        """An auth object, and the ``verify`` of its calls, that trust the private authority."""
        return auth_for(domain), certificates.context

    def get(self, auth: Any, url: str, **options: Any) -> Reply:
        return self.send(auth, "GET", url, **options)

    def post(self, auth: Any, url: str, content: Any = None, **options: Any) -> Reply:
        return self.send(auth, "POST", url, content=content, **options)


class Requests(Client):
    bodies = Client.bodies - {"list"}  # it takes one for a form
    connection_error = requests.ConnectionError
    error = requests.RequestException
    redirects_start_history = True
    streams_files = False

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

    def over_tls(self, domain: str, certificates: Certificates) -> tuple[Any, Any]:
        session = requests.Session()
        session.verify = certificates.authority
        return auth_for(domain, session=session), certificates.authority


class Httpx(Client):
    follows_token_redirects = True
    redirects_rewind_files = False
    shows_why_waiters_gave_up = False

    def __init__(self, library: Any, run: Callable[..., Any] | None = None) -> None:
        """*run* runs an async function, for an ``AsyncClient``."""
        form = "" if run is None else f" on {run.__module__.partition('.')[0]}"
        super().__init__(library.__name__ + form)
        self.library, self.run = library, run
        self.connection_error, self.error = library.ConnectError, library.HTTPError
        self.is_async = run is not None
        # httpx announces the length of a file from its beginning, and that of a pipe as 0.
        self.bodies = ASYNC_BODIES if self.is_async else Client.bodies - {"pipe", "half of a file"}

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


class Aiohttp(Client):
    bodies = ASYNC_BODIES | {"BytesIO", "file", "half of a file", "unseekable file", "pipe"}
    connection_error = aiohttp.ClientConnectionError
    error = aiohttp.ClientError
    is_async = True
    is_combined = False
    pickles_responses = False
    run = staticmethod(run_asyncio)
    shows_the_401 = False

    def send(
        self, auth: Any, method: str, url: str, *, follow_redirects: bool = False, **options: Any
    ) -> Reply:
        seconds, ssl = options.pop("timeout", 10), options.pop("verify", True)
        timeout = aiohttp.ClientTimeout(None, seconds, seconds, seconds)
        options["data"] = _aiohttp_body(options)
        options |= {"allow_redirects": follow_redirects, "ssl": ssl}
        statuses: list[int] = []

        async def record_status(request: Any, handler: Any) -> Any:
            response = await handler(request)
            statuses.append(response.status)
            return response

        async def send() -> Reply:
            jar = aiohttp.CookieJar(unsafe=True)  # for IP addresses
            settings = {"timeout": timeout, "cookie_jar": jar, "trust_env": True}
            async with (
                self.session(auth, record_status, **settings) as session,
                session.request(method, url, **options) as response,
            ):
                return Reply(response.status, await response.read(), statuses[:-1], response)

        reply: Reply = run_asyncio(send)
        return reply

    @staticmethod
    def session(auth: Any, *middlewares: Any, **options: Any) -> aiohttp.ClientSession:
        """Open a session that is signed by *auth*."""
        return aiohttp.ClientSession(middlewares=(aiohttp_auth_of(auth), *middlewares), **options)


def _aiohttp_body(options: dict[str, Any]) -> Any:
    """Remove the body from *options*, and return it as aiohttp's ``data``."""
    content, files = options.pop("content", None), options.pop("files", None)
    data = options.pop("data", content)
    if files is not None:
        form = aiohttp.FormData(data or {})
        for name, given in files.items():
            filename, file = given if isinstance(given, tuple) else (name, given)
            form.add_field(name, file, filename=filename)
        return form
    # aiohttp warns of long bytes, because they block the loop.
    return io.BytesIO(data) if isinstance(data, bytes) and len(data) > 2**20 else data


ALL_CLIENTS: list[Client] = [
    Requests("requests"),
    Httpx(httpx),
    Httpx(httpx2),
    Httpx(httpx, run_asyncio),
    Httpx(httpx, trio.run),
    Httpx(httpx2, run_asyncio),
    Httpx(httpx2, trio.run),
    Aiohttp("aiohttp"),
]


#: One of each way to wait, and each library once; all of them with `--all-clients`.
CLIENTS = [
    client for client in ALL_CLIENTS if str(client) in {"requests", "httpx", "httpx2 on trio", "aiohttp"}
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a `client` with each of them; a folder's conftest imports this hook.

    The marker ``clients`` names the traits that they must have.
    """
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "client" in metafunc.fixturenames and not any("client" in names for names in named):
        marks = metafunc.definition.iter_markers("clients")
        traits = [trait for mark in marks for trait in mark.kwargs.items()]
        fitting = [one for one in CLIENTS if all(getattr(one, name) == value for name, value in traits)]
        metafunc.parametrize("client", fitting, ids=str)


def auth_for(domain: str, **options: Any) -> TheBaseAuth:
    """An auth object with the credentials that the test servers know."""
    return TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET, **options)


def aiohttp_auth_of(auth: TheBaseAuth) -> thebase_auth.aiohttp.TheBaseAuth:
    """An auth object for aiohttp that shares all with *auth*."""
    ours = object.__new__(thebase_auth.aiohttp.TheBaseAuth)
    ours.__dict__ = auth.__dict__
    return ours


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
