# The sandbox, as a test has it in hand.
#
# Here: its settings, its levers, its record, and its life on a port. Not here: what becomes of a request
# (_service), and how it comes in (_server, _mounts, _requests_adapter).

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Final, Self

from ._access import SandboxClient
from ._faults import Drop
from ._messages import Answer
from ._mounts import ASGIApp, asgi_app, wsgi_app
from ._record import ANYTHING, ReceivedRequest, assert_in, calls_in
from ._service import FOREVER, OnRequest, Service

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from ._requests_adapter import SandboxAdapter

_LIMITED: Final = ("hV5nTq0cXeW3yZr8uBd1Ag..", "x7Jp2mKf9sLw4vRt6GyQ0Q..")


class Sandbox:
    """A TheBase that runs in this process, on a port of its own, for one `with` block.

        with Sandbox() as thebase:
            auth = TheBaseAuth(thebase.domain, thebase.client_id, thebase.client_secret)

    It answers every call of the vendor's API documentation over data of its own, which are gone with
    it, and where the documentation is silent, as Oracle REST Data Services does. A client that does
    not send `Accept: application/json` gets its 401 as a page of HTML of 467,009 bytes, as theirs did.

    Without a `with` block it needs no port: `asgi` and `wsgi` are applications, to be given to
    `httpx.ASGITransport` and `httpx.WSGITransport`, and `requests_adapter()` can be mounted on a
    requests session. It then answers for whatever domain it is mounted on.

    Calls are named by method and path, `"DELETE /v2/products/*"`; `*` stands for anything, and a
    path alone for all methods. Queries are no part of a name. Every method may be called from any thread.

    Whatever goes wrong in the sandbox itself, because a setting cannot be or `on_request` raises, is
    told by the logger `thebase_auth.testing`; the request gets a 500.

    Args:
        client_id: the id of the client that may do everything.
        client_secret: its secret.
        expires_in: what token responses say of a token's life, in seconds; any JSON value.
        token_lifetime: after how many seconds a token is really refused.
        single_token: whether a new token ends the earlier ones of its client.
        port: the port to listen on; 0 for any that is free.
        on_request: called with each request once it is answered, in the thread that answers it.
        ssl_certfile: path of a PEM certificate valid for `localhost`; with it the sandbox speaks
            TLS.
        ssl_keyfile: path of the certificate's PEM key, if the certificate's file does not hold it.

    Attributes:
        client: the client that may do everything, until its `refuse` says otherwise.
        limited_client: a client that may not delete.
        clients: the list of clients that get a token, these two at first. More can be added, and each
            cancelled by removing it; the tokens that it has stay good, as they do with the vendor.
        expires_in: as given; may be changed at any time.
        token_lifetime: as given; may be changed at any time, also for tokens already issued.
        single_token: as given; may be changed at any time.
        asgi: the sandbox as an ASGI application.
        wsgi: the sandbox as a WSGI application.
    """

    def __init__(
        self,
        *,
        client_id: str = "LvTJmqtlvEKyuqvz1brRMg..",
        client_secret: str = "kZ3mY0o7TqWc1uXv9sBf2Q..",
        expires_in: object = 3600,
        token_lifetime: float = 3600.0,
        single_token: bool = False,
        port: int = 0,
        on_request: OnRequest | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
    ) -> None:
        self.client: SandboxClient = SandboxClient(client_id, client_secret)
        self.limited_client: SandboxClient = SandboxClient(*_LIMITED, refused=["DELETE *"])
        self.clients: list[SandboxClient] = [self.client, self.limited_client]
        self.expires_in = expires_in
        self.token_lifetime = token_lifetime
        self.single_token = single_token
        self._service = Service(self, on_request)
        self.asgi: ASGIApp = asgi_app(self._service.exchange)
        self.wsgi: WSGIApplication = wsgi_app(self._service.exchange)
        self._port, self._tls = port, {"ssl_certfile": ssl_certfile, "ssl_keyfile": ssl_keyfile}
        self._domain: str | None = None
        self._server: ExitStack | None = None

    def __enter__(self) -> Self:
        from ._server import serve

        if self._server is not None:
            raise RuntimeError(f"{self!r} is running already")
        with ExitStack() as stack:
            self._domain = stack.enter_context(serve(self.asgi, port=self._port, **self._tls))
            self._server = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def __repr__(self) -> str:
        return f"<Sandbox at {self._domain}, {len(self.received)} requests>"

    # The settings

    @property
    def domain(self) -> str:
        """The base URL to hand to `TheBaseAuth`. It outlasts the block, after which nobody listens.

        Raises:
            RuntimeError: the sandbox has not been started.
        """
        if self._domain is None:
            raise RuntimeError(
                "the sandbox has no address before `with Sandbox() as thebase:`; without a port it "
                "answers for any domain, by its asgi, wsgi or requests_adapter()"
            )
        return self._domain

    @property
    def client_id(self) -> str:
        """The id of the client that may do everything."""
        return self.client.client_id

    @property
    def client_secret(self) -> str:
        """Its secret."""
        return self.client.client_secret

    def requests_adapter(self) -> SandboxAdapter:
        """A transport adapter for requests, by which a session calls the sandbox without a port.

            session.mount("https://acme.thebase.co.il", thebase.requests_adapter())
            session.auth = TheBaseAuth("acme.thebase.co.il", ..., session=session)

        Timeouts have no meaning there; a dropped connection is a `requests.ConnectionError`.

        Returns:
            An adapter, also for several sessions at once.

        Raises:
            ImportError: requests is not installed.
        """
        from ._requests_adapter import SandboxAdapter

        return SandboxAdapter(self._service.exchange)

    # The levers

    def revoke_tokens(self, client: SandboxClient | None = None) -> None:
        """Refuse from now on every token issued so far.

        Args:
            client: the client whose tokens end; by default those of all.
        """
        with self._service.lock:
            self._service.access.revoke(client)

    def answer_next(
        self,
        call: str,
        status: int,
        body: str | bytes = b"",
        content_type: str = "application/json",
        *,
        headers: Mapping[str, str] | None = None,
        times: int = 1,
    ) -> None:
        """Give the next requests this answer, whatever they ask and carry, and do nothing else.

        Of several things asked for by `answer_next`, `redirect_next` and `drop_next`, a request meets
        the first that is meant for it and not yet used up.

        Args:
            call: which requests, such as `"POST /oauth/token"` or `"*"`.
            status: the status code.
            body: the whole body; text is sent in UTF-8.
            content_type: the `Content-Type`, sent as it is.
            headers: more header fields, such as `Retry-After`.
            times: how many requests get the answer.

        Raises:
            ValueError: *call* can mean no request, or an argument no answer.
            TypeError: the body is neither text nor bytes.
        """
        if not 200 <= status < 600:
            raise ValueError(f"{status} is no status of a final answer: those are from 200 to 599")
        if not isinstance(body, str | bytes):
            raise TypeError(f"body must be text or bytes, not {type(body).__name__}")
        content = body.encode() if isinstance(body, str) else body
        fields = {"content-type": ("Content-Type", content_type)}
        for name, value in (headers or {}).items():
            value.encode("latin-1")  # UnicodeEncodeError is a ValueError
            fields[name.lower()] = (name, value)
        answer = Answer(status, content, tuple(fields.values()))
        with self._service.lock:
            self._service.outcomes.add(call, answer, times)

    def redirect_next(self, call: str, location: str, status: int = 307, *, times: int = 1) -> None:
        """Redirect the next requests.

        Args:
            call: which requests, such as `"POST /oauth/token"`.
            location: where to, a URL or a path.
            status: the status code.
            times: how many requests are redirected.

        Raises:
            ValueError: *call* can mean no request, or an argument no answer.
        """
        self.answer_next(call, status, b"", "text/html", headers={"Location": location}, times=times)

    def drop_next(self, call: str, *, carried_out: bool = False, times: int = 1) -> None:
        """Drop the connections of the next requests without an answer.

        Args:
            call: which requests, such as `"POST /v2/leads/create"`.
            carried_out: whether they are carried out before, and the record has their status.
            times: how many requests are dropped.

        Raises:
            ValueError: *call* can mean no request, or *times* is less than 1.
        """
        with self._service.lock:
            self._service.outcomes.add(call, Drop.AFTER if carried_out else Drop.BEFORE, times)

    def delay_next(self, call: str, seconds: float, *, times: int = 1) -> None:
        """Let the next requests wait for their answer, whatever it will be.

        Over a port a client can lose its patience meanwhile. Without one, timeouts have no meaning.

        Args:
            call: which requests, such as `"GET /v2/users"`.
            seconds: how long.
            times: how many requests wait.

        Raises:
            ValueError: *call* can mean no request, *times* is less than 1, or *seconds* less than 0.
        """
        if not 0 <= seconds < FOREVER:
            raise ValueError(f"{seconds} is no time in seconds that one can wait")
        with self._service.lock:
            self._service.delays.add(call, seconds, times)

    def hold_token_requests(self) -> AbstractContextManager[None]:
        """Leave the token requests that arrive in the block unanswered until the block ends.

        All other requests are answered meanwhile. What a held request gets is decided only when
        it is let go, in the order of arrival. Where blocks overlap, the last to end lets go.
        """
        return self._service.gate.hold()

    def wait_for_token_requests(self, count: int, timeout: float = 10.0) -> None:
        """Wait until so many token requests have arrived since the sandbox was made.

        Args:
            count: how many, those answered long ago included.
            timeout: how long to wait, in seconds.

        Raises:
            TimeoutError: fewer have arrived by then.
        """
        self._service.gate.wait_for(count, timeout)

    # The record

    @property
    def token_requests(self) -> int:
        """How many token requests have arrived, answered or not."""
        return self._service.gate.count

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """The requests received so far, in the order in which they were answered or dropped.

        A request is in it before its client gets the answer. Those that are still without one stand at
        the end; so do those whose client has gone meanwhile.
        """
        return self._service.received

    def calls(self, call: str) -> tuple[ReceivedRequest, ...]:
        """The requests received so far of one kind.

        Args:
            call: which requests, such as `"/v2/users"`; queries do not count.

        Raises:
            ValueError: this can mean no call.
        """
        return calls_in(self.received, call)

    def assert_received(
        self, call: str, times: int | None = None, *, status: int | None = None, json: object = ANYTHING
    ) -> tuple[ReceivedRequest, ...]:
        """Assert that requests of one kind were received, or not.

            thebase.assert_received("POST /v2/leads/create", times=1, status=201)

        Args:
            call: which requests, such as `"POST /v2/leads/create"`.
            times: how many of them; by default at least one.
            status: count only those that got this status code.
            json: count only those whose body was this JSON document.

        Returns:
            The requests.

        Raises:
            AssertionError: it was otherwise. The text shows what was received, without header fields.
            ValueError: *call* can mean no request.
        """
        return assert_in(self.received, call, times, status, json)
