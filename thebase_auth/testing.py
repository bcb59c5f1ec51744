"""A small TheBase on loopback, for tests that speak real HTTP.

What belongs here: `serve`, which runs any ASGI application on a port of its own; `Sandbox`, which
answers as the vendor's API documentation says it does (and, where that is silent, as Oracle REST
Data Services does); and the levers by which a test makes it answer otherwise.

What does not: a client, a fixture, an assertion, or anything that the package itself needs to run.
The data is made up, kept in memory, and gone with the sandbox.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qs

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.datastructures import Headers
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Mount, Route, Router
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ImportError as _missing:
    if str(_missing.name).partition(".")[0] not in {"starlette", "uvicorn"}:
        raise
    raise ImportError(
        "thebase_auth.testing needs Starlette and uvicorn: pip install 'thebase-auth[testing]'",
        name=_missing.name,
    ) from _missing

__all__ = ["ReceivedRequest", "Sandbox", "serve"]

# Room for a thousand clients that all connect before the first is accepted.
_BACKLOG = 4096

# Longer than any test, so that no pooled connection is closed under a client about to reuse it.
_KEEP_ALIVE_SECONDS = 60

# To a client that does not ask for JSON, Oracle REST Data Services sends a page of about this size.
_UNAUTHORIZED_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Unauthorized</title></head>"
    b"<body><h1>401 Unauthorized</h1></body></html>\n"
).ljust(467_009)

_BEARER_CHALLENGE = 'Bearer realm="Oracle REST Data Services", error="invalid_token"'

_USERS = [
    {
        "id": "253960413951646409173244928790043995930",
        "name": "משה",
        "is_active": "Y",
        "created": "2021-04-03T00:00:00Z",
    }
]
_LEAD_STATUSES = [
    {"id": "233069071553535427697228277840563827497", "name": "💫 חדש", "is_active": "Y"}
]
_NOTE_CHARACTERS = 4000


class _Server(uvicorn.Server):
    """uvicorn, telling when it has started, and stopping at once when told."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started: Future[None] = Future()
        self.told_to_stop: Future[None] = Future()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the start
            self.has_started.set_exception(error)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set_result(None)

    async def main_loop(self) -> None:
        # Not uvicorn's own, which looks ten times a second whether it should stop.
        await self.on_tick(0)
        await asyncio.wrap_future(self.told_to_stop)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        # Not uvicorn's own, which waits for answers under way, over TLS for each peer's close, and
        # a tenth of a second in any case. Handlers still running are cancelled by `asyncio.run`.
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()


@contextmanager
def serve(
    app: ASGIApp, *, ssl_certfile: str | None = None, ssl_keyfile: str | None = None
) -> Iterator[str]:
    """Serve an ASGI application over HTTP/1.1 on 127.0.0.1, from a thread of its own.

    The end of the block stops the server at once: whatever is still under way is cancelled, and
    open connections are cut. Only a handler that blocks its thread is waited for.

    Args:
        app: the ASGI application. It gets no lifespan events and no WebSockets.
        ssl_certfile: path of a PEM certificate valid for `localhost`; with it the server speaks
            TLS.
        ssl_keyfile: path of the certificate's PEM key, if the certificate's file does not hold it.

    Returns:
        A context manager. It yields the base URL, without a slash at the end:
        `http://127.0.0.1:PORT`, or `https://localhost:PORT` with a certificate.

    Raises:
        OSError: the certificate cannot be read, or the server cannot start.
        ssl.SSLError: certificate and key are malformed or do not match.
    """
    config = uvicorn.Config(
        app,
        interface="asgi3",
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
    )
    config.load()
    server = _Server(config)
    # The protocol is named because asyncio switches Nagle's algorithm off only where it is; left
    # on, it makes an answer in two writes wait 40 ms for the client's acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(_BACKLOG)
        port = listener.getsockname()[1]
        thread = threading.Thread(
            target=server.run, args=([listener],), name=f"thebase-sandbox-{port}", daemon=True
        )
        thread.start()
        try:
            server.has_started.result()
            yield f"https://localhost:{port}" if ssl_certfile else f"http://127.0.0.1:{port}"
        finally:
            server.told_to_stop.set_result(None)
            thread.join()


@dataclass(frozen=True)
class ReceivedRequest:
    """A request that the sandbox has answered.

    Attributes:
        method: the HTTP method, in capitals.
        path: the decoded path, with `?` and the query as sent if there is one.
        headers: the header fields, names in lower case; the last of several of one name.
        body: the whole body.
        status: the status code of the answer.
    """

    method: str
    path: str
    # Headers and body may hold a secret or a token; a failing assertion prints the repr.
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int


class Sandbox:
    """A TheBase that runs in this process, on a port of its own, for one `with` block.

        with Sandbox() as thebase:
            auth = TheBaseAuth(thebase.domain, thebase.client_id, thebase.client_secret)

    Every method may be called from any thread. Tokens do not end by the clock: `revoke_tokens`
    ends them.

    Args:
        client_id: the one client id that gets a token.
        client_secret: its secret.
        expires_in: what token responses say of a token's life, in seconds; any JSON value.
        single_token: whether a new token ends the one before.
        ssl_certfile: path of a PEM certificate valid for `localhost`; with it the sandbox speaks
            TLS.
        ssl_keyfile: path of the certificate's PEM key, if the certificate's file does not hold it.

    Attributes:
        client_id: as given; may be changed at any time.
        client_secret: as given; may be changed at any time.
        expires_in: as given; may be changed at any time.
        app: the ASGI application, to be mounted or served elsewhere.
    """

    def __init__(
        self,
        *,
        client_id: str = "LvTJmqtlvEKyuqvz1brRMg..",
        client_secret: str = "kZ3mY0o7TqWc1uXv9sBf2Q..",
        expires_in: object = 3600,
        single_token: bool = False,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.expires_in = expires_in
        self._single_token = single_token
        self._ssl_certfile = ssl_certfile
        self._ssl_keyfile = ssl_keyfile
        self._domain: str | None = None
        # Shared by the server's thread and those of the tests, guarded by the lock of `_changed`,
        # which is notified when a token request arrives:
        self._changed = threading.Condition()
        self._live_tokens: set[str] = set()
        self._received: list[ReceivedRequest] = []
        self._token_requests = 0
        self._next_answers: deque[Response] = deque()
        self._holds = 0
        self._held: list[Future[None]] = []

        calls = Router(
            _Crm().routes(),
            redirect_slashes=False,
            middleware=[Middleware(_TokenCheck, is_live=self._is_live)],
        )
        self.app: Starlette = Starlette(
            routes=[
                Route("/oauth/token", self._answer_token_request, methods=["POST"]),
                Mount("/v2", app=calls),
            ],
            middleware=[Middleware(_Recorder, record=self._record)],
            exception_handlers={HTTPException: _error_response},
        )
        self.app.router.redirect_slashes = False

    def __enter__(self) -> Self:
        self._serving = serve(
            self.app, ssl_certfile=self._ssl_certfile, ssl_keyfile=self._ssl_keyfile
        )
        self._domain = self._serving.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._serving.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<Sandbox at {self._domain}, {len(self.received)} requests>"

    @property
    def domain(self) -> str:
        """The base URL to hand to `TheBaseAuth`. It outlasts the block, after which nobody listens.

        Raises:
            RuntimeError: the sandbox has not been started.
        """
        if self._domain is None:
            raise RuntimeError("the sandbox has no address before `with Sandbox() as thebase:`")
        return self._domain

    @property
    def token_requests(self) -> int:
        """How many token requests have arrived, answered or not."""
        with self._changed:
            return self._token_requests

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """The requests answered so far, in the order of the answers.

        A request is in it before its client gets the answer.
        """
        with self._changed:
            return tuple(self._received)

    def calls(self, path: str) -> tuple[ReceivedRequest, ...]:
        """The requests answered so far whose path, without its query, is this one."""
        return tuple(request for request in self.received if request.path.split("?")[0] == path)

    def revoke_tokens(self) -> None:
        """Refuse from now on every token issued so far."""
        with self._changed:
            self._live_tokens.clear()

    def answer_next_token_request(
        self,
        status: int,
        body: str | bytes = b"",
        content_type: str = "application/json",
        *,
        times: int = 1,
    ) -> None:
        """Give the next token requests this answer, whatever they ask, and issue no token.

        Answers that are asked for before the earlier ones are used up come after them.

        Args:
            status: the status code.
            body: the whole body; text is sent in UTF-8.
            content_type: the `Content-Type`, sent as it is.
            times: how many token requests get the answer.
        """
        answer = Response(body, status, headers={"Content-Type": content_type})
        with self._changed:
            self._next_answers.extend([answer] * times)

    @contextmanager
    def hold_token_requests(self) -> Iterator[None]:
        """Leave the token requests that arrive in the block unanswered until the block ends.

        All other requests are answered meanwhile. What a held request gets is decided only when
        it is let go, in the order of arrival. Where blocks overlap, the last to end lets go.
        """
        with self._changed:
            self._holds += 1
        try:
            yield
        finally:
            self._end_hold()

    def wait_for_token_requests(self, count: int, timeout: float = 10.0) -> None:
        """Wait until so many token requests have arrived since the sandbox was made.

        Args:
            count: how many, those answered long ago included.
            timeout: how long to wait, in seconds.

        Raises:
            TimeoutError: fewer have arrived by then.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._token_requests >= count, timeout):
                raise TimeoutError(
                    f"{self._token_requests} token requests in {timeout} s, not {count}"
                )

    def _record(self, request: ReceivedRequest) -> None:
        with self._changed:
            self._received.append(request)

    def _is_live(self, token: str) -> bool:
        with self._changed:
            return token in self._live_tokens

    async def _answer_token_request(self, request: Request) -> Response:
        await self._take_turn()
        with self._changed:
            if self._next_answers:
                return self._next_answers.popleft()
        # The server refuses credentials in the body, which RFC 6749 2.3.1 leaves optional.
        pair = f"{self.client_id}:{self.client_secret}".encode()
        if _credentials(request.headers, "basic") != base64.b64encode(pair).decode():
            raise HTTPException(401)
        grant_type = (await _form(request)).get("grant_type")
        if grant_type is None:
            return JSONResponse({"error": "invalid_request"}, 400)
        if grant_type != ["client_credentials"]:
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        return JSONResponse(
            {
                "access_token": self._issue_token(),
                "token_type": "bearer",
                "expires_in": self.expires_in,
            }
        )

    async def _take_turn(self) -> None:
        """Count a token request in and, while token requests are held, wait."""
        with self._changed:
            self._token_requests += 1
            self._changed.notify_all()
            if not self._holds:
                return
            turn: Future[None] = Future()
            self._held.append(turn)
        await asyncio.wrap_future(turn)

    def _end_hold(self) -> None:
        with self._changed:
            self._holds -= 1
            if self._holds:
                return
            released, self._held = self._held, []
        for turn in released:
            # False for a request cancelled while it waited, by a server that has stopped.
            if turn.set_running_or_notify_cancel():
                turn.set_result(None)

    def _issue_token(self) -> str:
        token = secrets.token_urlsafe(16)
        with self._changed:
            if self._single_token:
                self._live_tokens.clear()
            self._live_tokens.add(token)
        return token


class _Recorder:
    """ASGI middleware: tells of each request, with its whole body, once its status is decided."""

    def __init__(self, app: ASGIApp, record: Callable[[ReceivedRequest], None]) -> None:
        self._app = app
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        # Read here, as a handler that refuses a request leaves its body unread.
        body = await request.body()

        async def receive_body() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def record_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                query = scope["query_string"].decode("latin-1")
                self._record(
                    ReceivedRequest(
                        method=request.method,
                        path=f"{scope['path']}?{query}" if query else scope["path"],
                        headers=dict(request.headers),
                        body=body,
                        status=message["status"],
                    )
                )
            await send(message)

        await self._app(scope, receive_body, record_and_send)


class _TokenCheck:
    """ASGI middleware: lets nothing pass without a live token."""

    def __init__(self, app: ASGIApp, is_live: Callable[[str], bool]) -> None:
        self._app = app
        self._is_live = is_live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_live(_credentials(Headers(scope=scope), "bearer")):
            raise HTTPException(401, headers={"WWW-Authenticate": _BEARER_CHALLENGE})
        await self._app(scope, receive, send)


class _Crm:
    """The calls under /v2, and the data they make. Only the server's thread gets here."""

    def __init__(self) -> None:
        self._leads_and_accounts: list[dict[str, Any]] = []
        self._products: dict[str, dict[str, Any]] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/users", self._users, methods=["GET"]),
            Route("/leads/create", self._create_lead, methods=["POST"]),
            Route("/leads/statuses", self._lead_statuses, methods=["GET"]),
            Route("/accounts/create", self._create_account, methods=["POST"]),
            Route("/notes/create", self._create_note, methods=["POST"]),
            Route("/search/leadsAndAccounts", self._search, methods=["POST"]),
            Route("/products/create", self._create_product, methods=["POST"]),
            Route("/products/{id}", self._product, methods=["GET", "DELETE"]),
        ]

    async def _users(self, request: Request) -> Response:
        return _collection(request, _USERS)

    async def _lead_statuses(self, request: Request) -> Response:
        return JSONResponse({"items": _LEAD_STATUSES, "first": {"$ref": str(request.url)}})

    async def _create_lead(self, request: Request) -> Response:
        lead = await _json_object(request, "name", "f_name", "phone")
        return _created(
            self._keep("LEADS", lead), "הליד נוצר בהצלחה", lead_status=_LEAD_STATUSES[0]["id"]
        )

    async def _create_account(self, request: Request) -> Response:
        account = await _json_object(request, "name", "f_name", "status")
        return _created(
            self._keep("ACCOUNTS", account), "הלקוח נוצר בהצלחה", account_status=account["status"]
        )

    async def _create_note(self, request: Request) -> Response:
        note = await _json_object(request, "msg")
        if len(str(note["msg"])) > _NOTE_CHARACTERS:
            raise HTTPException(400, f"msg is longer than {_NOTE_CHARACTERS} characters")
        return _created(_new_id(), "ההערה נוצרה בהצלחה")

    async def _search(self, request: Request) -> Response:
        wanted = await _json_object(request)
        shown = ("id", "object_type", "created", "updated", "name", "phone", "email")
        results = [
            {key: record.get(key) for key in shown}
            for record in self._leads_and_accounts
            if wanted and all(record.get(key) == value for key, value in wanted.items())
        ]
        return JSONResponse({"count": len(results), "results": results}, 201)

    async def _create_product(self, request: Request) -> Response:
        product = await _json_object(request, "name", "price", "is_active", "category")
        product["id"] = _new_id()
        self._products[product["id"]] = product
        return _created(product["id"], "המוצר נוצר בהצלחה")

    async def _product(self, request: Request) -> Response:
        product_id = request.path_params["id"]
        if product_id not in self._products:
            raise HTTPException(404)
        if request.method == "DELETE":
            del self._products[product_id]
            return Response()
        return _collection(request, [self._products[product_id]])

    def _keep(self, object_type: str, fields: dict[str, Any]) -> str:
        """Keep a lead or an account for later searches, and return its new id."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        record = {"id": _new_id(), "object_type": object_type, "created": now, "updated": now}
        self._leads_and_accounts.append({**fields, **record})
        return record["id"]


def _credentials(headers: Headers, scheme: str) -> str:
    """What `Authorization` says after a scheme, or nothing if it names another."""
    given, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials if given.lower() == scheme else ""


async def _form(request: Request) -> dict[str, list[str]]:
    """The fields of an urlencoded body; none if the body is said to be anything else."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        return {}
    return parse_qs((await request.body()).decode("latin-1"))


async def _json_object(request: Request, *required: str) -> dict[str, Any]:
    """The JSON object in the body, refused with 400 if it lacks one of the required keys."""
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise HTTPException(400, "the body is not a JSON object")
    for key in required:
        # To an Oracle database an empty string is NULL.
        if body.get(key) in (None, ""):
            raise HTTPException(400, f"{key} is required")
    return body


def _new_id() -> str:
    """A number of 128 bits, the first of them set, so that it always has 39 digits."""
    return str(2**127 + secrets.randbits(127))


def _created(record_id: str, message: str, **more: str) -> Response:
    return JSONResponse({"id": record_id, "message": message, **more}, 201)


def _collection(request: Request, items: list[dict[str, Any]]) -> Response:
    url = str(request.url)
    catalog = str(request.url.replace(path=f"/metadata-catalog{request.url.path}", query=""))
    return JSONResponse(
        {
            "items": items,
            "hasMore": False,
            "limit": 25,
            "offset": 0,
            "count": len(items),
            "links": [
                {"rel": "self", "href": url},
                {"rel": "describedby", "href": catalog},
                {"rel": "first", "href": url},
            ],
        }
    )


async def _error_response(request: Request, error: Exception) -> Response:
    """An HTTPException as Oracle REST Data Services puts it."""
    # Registered for this class alone, while Starlette's type for a handler takes any.
    error = cast("HTTPException", error)
    if error.status_code == 401 and "application/json" not in request.headers.get("accept", ""):
        return Response(_UNAUTHORIZED_PAGE, 401, media_type="text/html")
    code = HTTPStatus(error.status_code).phrase.replace(" ", "")
    return JSONResponse(
        {
            "code": code,
            "message": error.detail,
            "type": f"tag:oracle.com,2020:error/{code}",
            "instance": f"tag:oracle.com,2020:ecid/{secrets.token_urlsafe(16)}",
        },
        error.status_code,
        headers=error.headers,
        media_type="application/problem+json",
    )
