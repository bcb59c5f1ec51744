"""A server that rejects tokens, put before the servers and transport doubles of other projects' tests.

It stands before a WSGI application, an ASGI application, or a transport of httpx. What it lets through goes
on without its token and without the cookie of the 401, so that a test sees the headers that it sent.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

COOKIE = "rejected=yes"  # which a 401 sets, and the response to the replay deletes


@dataclass
class Client:
    """What is known of one auth object, which has a client ID of its own."""

    token: str = ""  # the only one that is accepted
    owes_replay: bool = False
    in_replay: bool = False  # or in the redirects after it: a call is replayed once
    redirected: bool = False


class Rejections:
    """Rejects each call once (``first``), or each call that follows a redirect (``redirected``).

    A rejected token must not be sent again: that revokes the client's next token too.
    """

    def __init__(self) -> None:
        self.which = "nothing"
        self.tokens = self.rejected = self.replayed = 0
        self._clients: dict[str, Client] = {}

    def client(self, authorization: str) -> Client | None:
        """Return the client whose token a call carries; None if it is not one of ours."""
        return self._clients.get(authorization.removeprefix("Bearer ").partition("/")[0])

    def judge(
        self,
        path: str,
        headers: MutableMapping[str, Any],
        names: tuple[str, str] = ("Authorization", "Cookie"),
    ) -> tuple[httpx.Response | None, Client | None]:
        """Return the response to a call, or None to let it through; and whose call it is."""
        authorization, cookies = (headers.get(name, "") for name in names)
        if path == "/oauth/token":
            return self._token(base64.b64decode(authorization.removeprefix("Basic "))), None
        client = self.client(authorization)
        if client is None:
            return None, None
        if authorization != f"Bearer {client.token}":
            return self._reject(client), client
        if client.owes_replay:
            self.replayed += 1
            client.owes_replay, client.in_replay = False, True
            # A request with cookies keeps its own, as with the digest auth of both libraries.
            if not cookies:
                return httpx.Response(400, text="the cookie of the 401 is missing"), client
        elif not client.in_replay and (self.which == "first" or client.redirected):
            return self._reject(client), client
        for name in names:
            headers.pop(name, None)
        kept = [pair for pair in cookies.split("; ") if pair not in {"", COOKIE}]
        if kept:
            headers[names[1]] = "; ".join(kept)
        return None, client

    def headers_to_add(self, client: Client | None, status: int, headers: Any) -> list[tuple[str, str]]:
        """Record the application's response to a call, and return the headers to add to it."""
        if client is None:
            return []
        leads_on = status < 400 and "Location" in httpx.Headers(headers)
        client.redirected = leads_on and not client.in_replay
        if not client.in_replay:
            return []
        client.in_replay = leads_on or status >= 500  # which an adapter may be told to send again
        return [("Set-Cookie", f"{COOKIE}; Path=/; Max-Age=0")]

    def _token(self, credentials: bytes) -> httpx.Response:
        self.tokens += 1
        name = credentials.decode().partition("..:")[0]
        client = self._clients.setdefault(name, Client())
        client.token = f"{name}/{self.tokens}"
        return httpx.Response(200, json={"access_token": client.token})

    def _reject(self, client: Client) -> httpx.Response:
        self.rejected += 1
        client.token, client.owes_replay, client.redirected = "", True, False
        return httpx.Response(401, headers={"Set-Cookie": f"{COOKIE}; Path=/"}, text="rejected")


def before_wsgi(app: Any, rejections: Rejections) -> Any:
    def guarded(environ: dict[str, Any], start_response: Any) -> Any:
        names = ("HTTP_AUTHORIZATION", "HTTP_COOKIE")
        response, client = rejections.judge(environ["PATH_INFO"], environ, names)
        if response:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(f"{response.status_code} -", response.headers.multi_items())
            return [response.content]

        def start_with_cookie(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            added = rejections.headers_to_add(client, int(status[:3]), headers)
            return start_response(status, headers + added, *rest)

        return app(environ, start_with_cookie)

    return guarded


def before_asgi(app: Any, rejections: Rejections) -> Any:
    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        headers = httpx.Headers(scope["headers"])
        response, client = rejections.judge(scope["path"], headers)
        if response:
            while (await receive()).get("more_body"):
                pass
            start = {"type": "http.response.start", "status": response.status_code}
            await send(start | {"headers": response.headers.raw})
            await send({"type": "http.response.body", "body": response.content})
            return

        async def send_with_cookie(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = rejections.headers_to_add(client, message["status"], message["headers"])
                message["headers"] = [*message["headers"], *httpx.Headers(added).raw]
            await send(message)

        raw = [(name.lower(), value) for name, value in headers.raw]
        await app(scope | {"headers": raw}, receive, send_with_cookie)

    return guarded


class BeforeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Reads the body of a rejected call as a transport does: from the stream, which then is exhausted."""

    def __init__(self, transport: Any, rejections: Rejections) -> None:
        self._transport = transport
        self._rejections = rejections

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._judged(request) as (response, with_headers):
            if response is None:
                return with_headers(self._transport.handle_request(request))
            assert isinstance(request.stream, httpx.SyncByteStream)
            for _ in request.stream:
                pass
            return response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with self._judged(request) as (response, with_headers):
            if response is None:
                return with_headers(await self._transport.handle_async_request(request))
            assert isinstance(request.stream, httpx.AsyncByteStream)
            async for _ in request.stream:
                pass
            return response

    @contextmanager
    def _judged(self, request: httpx.Request) -> Iterator[tuple[httpx.Response | None, Any]]:
        sent = request.headers.copy()
        rejection, client = self._rejections.judge(request.url.path, request.headers)

        def with_headers(response: httpx.Response) -> httpx.Response:
            added = self._rejections.headers_to_add(client, response.status_code, response.headers)
            response.headers = httpx.Headers([*response.headers.raw, *httpx.Headers(added).raw])
            return response

        try:
            yield rejection, with_headers
        finally:
            request.headers = sent
