"""A server that refuses tokens, put before the servers and transport doubles of other projects' tests.

Here: which call is refused, and the three places where that is done: before a WSGI application, an ASGI
application, and a transport of httpx. What is let through goes on without its token and without the
refusal's cookie, so that a test which looks at the headers sees those that it sent.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

COOKIE = "refused=yes"  # which a refusal sets, and the answer to the replay deletes


@dataclass
class Client:
    """What is known of one auth object, which has a client id of its own."""

    token: str = ""  # the only one that is good
    owes_replay: bool = False
    in_replay: bool = False  # or in the redirects that it led to: a call is replayed once
    redirected: bool = False


class Refusals:
    """Refuses each call once (``first``), or once each that follows a redirect (``redirected``).

    A token that was refused is not to be sent again: that ends the client's next one too.
    """

    def __init__(self) -> None:
        self.which = "nothing"
        self.tokens = self.refused = self.replayed = 0
        self._clients: dict[str, Client] = {}

    def client(self, authorization: str) -> Client | None:
        """The client whose token a call carries; None if that is not from here."""
        return self._clients.get(authorization.removeprefix("Bearer ").partition("/")[0])

    def judge(
        self,
        path: str,
        headers: MutableMapping[str, Any],
        names: tuple[str, str] = ("Authorization", "Cookie"),
    ) -> tuple[httpx.Response | None, Client | None]:
        """What to answer to a call, or None to let it through; and whose call it is."""
        authorization, cookies = (headers.get(name, "") for name in names)
        if path == "/oauth/token":
            return self._token(base64.b64decode(authorization.removeprefix("Basic "))), None
        client = self.client(authorization)
        if client is None:
            return None, None
        if authorization != f"Bearer {client.token}":
            return self._refusal(client), client
        if client.owes_replay:
            self.replayed += 1
            client.owes_replay, client.in_replay = False, True
            # A request with cookies keeps its own, as with the digest auth of both libraries.
            if not cookies:
                return httpx.Response(400, text="the cookie of the 401 is missing"), client
        elif not client.in_replay and (self.which == "first" or client.redirected):
            return self._refusal(client), client
        for name in names:
            headers.pop(name, None)
        kept = [pair for pair in cookies.split("; ") if pair not in {"", COOKIE}]
        if kept:
            headers[names[1]] = "; ".join(kept)
        return None, client

    def answered(self, client: Client | None, status: int, headers: Any) -> list[tuple[str, str]]:
        """Take note of the application's answer to a call, and say what headers to add to it."""
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

    def _refusal(self, client: Client) -> httpx.Response:
        self.refused += 1
        client.token, client.owes_replay, client.redirected = "", True, False
        return httpx.Response(401, headers={"Set-Cookie": f"{COOKIE}; Path=/"}, text="refused")


def before_wsgi(app: Any, refusals: Refusals) -> Any:
    def guarded(environ: dict[str, Any], start_response: Any) -> Any:
        names = ("HTTP_AUTHORIZATION", "HTTP_COOKIE")
        answer, client = refusals.judge(environ["PATH_INFO"], environ, names)
        if answer:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(f"{answer.status_code} -", answer.headers.multi_items())
            return [answer.content]

        def start_answer(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            added = refusals.answered(client, int(status[:3]), headers)
            return start_response(status, headers + added, *rest)

        return app(environ, start_answer)

    return guarded


def before_asgi(app: Any, refusals: Refusals) -> Any:
    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        headers = httpx.Headers(scope["headers"])
        answer, client = refusals.judge(scope["path"], headers)
        if answer:
            while (await receive()).get("more_body"):
                pass
            start = {"type": "http.response.start", "status": answer.status_code}
            await send(start | {"headers": answer.headers.raw})
            await send({"type": "http.response.body", "body": answer.content})
            return

        async def send_answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = refusals.answered(client, message["status"], message["headers"])
                message["headers"] = [*message["headers"], *httpx.Headers(added).raw]
            await send(message)

        raw = [(name.lower(), value) for name, value in headers.raw]
        await app(scope | {"headers": raw}, receive, send_answer)

    return guarded


class BeforeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Reads the body of what it refuses as a transport does: from the stream, which then is spent."""

    def __init__(self, transport: Any, refusals: Refusals) -> None:
        self._transport = transport
        self._refusals = refusals

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._judged(request) as (answer, answered):
            if answer is None:
                return answered(self._transport.handle_request(request))
            assert isinstance(request.stream, httpx.SyncByteStream)
            for _ in request.stream:
                pass
            return answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with self._judged(request) as (answer, answered):
            if answer is None:
                return answered(await self._transport.handle_async_request(request))
            assert isinstance(request.stream, httpx.AsyncByteStream)
            async for _ in request.stream:
                pass
            return answer

    @contextmanager
    def _judged(self, request: httpx.Request) -> Iterator[tuple[httpx.Response | None, Any]]:
        sent = request.headers.copy()
        answer, client = self._refusals.judge(request.url.path, request.headers)

        def answered(response: httpx.Response) -> httpx.Response:
            added = self._refusals.answered(client, response.status_code, response.headers)
            response.headers = httpx.Headers([*response.headers.raw, *httpx.Headers(added).raw])
            return response

        try:
            yield answer, answered
        finally:
            request.headers = sent
