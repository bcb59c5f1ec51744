# The sandbox, as tests use it: its settings, its levers, its record, and starting and stopping it on a port.

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Final, Self

from ._access import SETTINGS, SandboxClient
from ._asgi import ASGIApp, asgi_app
from ._assertions import assert_in, assert_used
from ._crm import crm_calls
from ._faults import Drop, response_of
from ._messages import NOT_GIVEN, TOKEN_PATH
from ._received import ReceivedRequest, calls_in
from ._routing import check_known
from ._service import FOREVER, OnRequest, Service

_HOST: Final = re.compile(r"[a-zA-Z0-9._-]+")
_LIMITED: Final = ("hV5nTq0cXeW3yZr8uBd1Ag..", "x7Jp2mKf9sLw4vRt6GyQ0Q..")


class Sandbox:
    """A fake TheBase server for tests, in this process.

        with Sandbox() as thebase:
            auth = TheBaseAuth(thebase.domain, thebase.client_id, thebase.client_secret)

    It responds to every call in the vendor's API documentation. Where that is silent, it responds as Oracle
    REST Data Services does. Its data are in memory only. A client that does not send
    `Accept: application/json` gets a 401 as a page of 467,009 bytes of HTML, as a TheBase has sent it.

    In a `with` block it listens on a port, of 127.0.0.1 unless *host* is given.

    A call is named by method and path, like `"DELETE /v2/products/*"`. `*` stands for anything, and a path
    without a method for all methods. A query is not part of the name. Every method is thread-safe.

    If the sandbox fails, because a setting is unusable or `on_request` raises, the logger
    `thebase_auth.testing` has the exception. For an unusable setting, the request gets a 500.

    Args:
        client_id: The id of the client with every permission.
        client_secret: The secret of that client.
        expires_in: The `expires_in` of token responses: seconds, or any other JSON value.
        token_lifetime: After how many seconds a token expires.
        single_token: Whether a new token revokes the earlier ones of its client.
        refused: The calls under `/v2` for which that client lacks permission after all.
        host: The IPv4 address to listen on, or the name by which clients on other machines reach this one,
            such as `"thebase"`. With a name, the sandbox listens on all addresses.
        port: The port to listen on; 0 for any free port.
        on_request: Called with each request after the response is made, in the thread that made it.
        ssl_certfile: Path of a PEM certificate for `localhost` or *host*. With it, the sandbox speaks TLS.
        ssl_keyfile: Path of its key in PEM, if the certificate file does not contain it.

    Attributes:
        client: The client with every permission, until its `refuse` is called.
        limited_client: A client without permission to delete.
        clients: The clients that get a token: at first, these two. Append more; remove one to cancel it.
            As with the vendor, a cancelled client can use the tokens that it has.
        expires_in: As given; may be changed at any time.
        token_lifetime: As given; may be changed at any time, and holds for tokens already issued.
        single_token: As given; may be changed at any time.
        asgi: The sandbox as an ASGI application, for your own server or `httpx.ASGITransport`. There it
            needs no `with` block, responds for any domain, and raises `ConnectionResetError` to drop a
            connection.

    Raises:
        ValueError: if *host* is neither a name nor an IPv4 address, or one of *refused* is no call of the
            sandbox.
    """

    def __init__(
        self,
        *,
        client_id: str = "LvTJmqtlvEKyuqvz1brRMg..",
        client_secret: str = "kZ3mY0o7TqWc1uXv9sBf2Q..",
        expires_in: object = 3600,
        token_lifetime: float = 3600.0,
        single_token: bool = False,
        refused: Iterable[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        on_request: OnRequest | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
    ) -> None:
        self.client: SandboxClient = SandboxClient(client_id, client_secret, refused=refused)
        self.limited_client: SandboxClient = SandboxClient(*_LIMITED, refused=["DELETE *"])
        self.clients: list[SandboxClient] = [self.client, self.limited_client]
        self.expires_in = expires_in
        self.token_lifetime = token_lifetime
        self.single_token = single_token
        self._settings = {name: getattr(self, name) for name in SETTINGS}
        self._service = Service(self, on_request)
        self.asgi: ASGIApp = asgi_app(self._service.exchange)
        if not _HOST.fullmatch(host):
            raise ValueError(f"host must be a name or an IPv4 address, not {host!r}")
        self._host, self._port = host, port
        self._tls = {"ssl_certfile": ssl_certfile, "ssl_keyfile": ssl_keyfile}
        self._domain: str | None = None
        self._server: ExitStack | None = None

    def __enter__(self) -> Self:
        from ._server import serve

        if self._server is not None:
            raise RuntimeError(f"{self!r} is running already; make another one")
        with ExitStack() as stack:
            server = serve(
                self.asgi, host=self._host, port=self._port, on_malformed=self._service.malformed, **self._tls
            )
            self._domain = stack.enter_context(server)
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
        """The base URL, to be given to `TheBaseAuth`. It stays the same after the block.

        Raises:
            RuntimeError: if the sandbox has not been started.
        """
        if self._domain is None:
            raise RuntimeError("the sandbox has no address yet; start it with `with Sandbox() as thebase:`")
        return self._domain

    @property
    def client_id(self) -> str:
        """The id of the client with every permission."""
        return self.client.client_id

    @property
    def client_secret(self) -> str:
        """The secret of the client with every permission."""
        return self.client.client_secret

    # The levers

    def reset(self) -> None:
        """Start anew: forget tokens, data, the record and the levers that no request has used.

        The settings and the first two clients are again as the sandbox was made, and other clients are
        removed. A pending request still gets its response, but is not in the record. Token requests are
        counted from zero.
        """
        with self._service.lock:
            vars(self).update(self._settings)
            self.clients = [self.client, self.limited_client]
            for client in self.clients:
                client._reset()
            self._service.reset()

    def revoke_tokens(self, client: SandboxClient | None = None) -> None:
        """Revoke every token issued so far.

        Args:
            client: The client whose tokens are revoked; by default, those of all clients.
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
        json: object = NOT_GIVEN,
        headers: Mapping[str, str] | None = None,
        times: int = 1,
    ) -> None:
        """Give the next requests this response, instead of carrying them out.

        `answer_next`, `redirect_next` and `drop_next` share one queue: a request takes the first entry that
        is for its call.

        Args:
            call: The call, such as `"POST /oauth/token"`, or `"*"`.
            status: The status code.
            body: The whole body; text is sent in UTF-8.
            content_type: The `Content-Type`.
            json: The body as a JSON document, in place of *body*.
            headers: More header fields, such as `Retry-After`.
            times: How many requests get the response.

        Raises:
            ValueError: if *call* is not a call, or an argument cannot be sent.
            TypeError: if *body* is neither text nor bytes, *json* cannot be JSON, or both are given.
        """
        response = response_of(status, body, content_type, json, headers or {})
        with self._service.lock:
            self._service.outcomes.add(call, response, times)

    def redirect_next(self, call: str, location: str, status: int = 307, *, times: int = 1) -> None:
        """Redirect the next requests.

        Args:
            call: The call, such as `"POST /oauth/token"`.
            location: A URL or a path.
            status: The status code.
            times: How many requests are redirected.

        Raises:
            ValueError: if *call* is not a call, or an argument cannot be sent.
        """
        self.answer_next(call, status, b"", "text/html", headers={"Location": location}, times=times)

    def drop_next(self, call: str, *, carried_out: bool = False, times: int = 1) -> None:
        """Drop the connections of the next requests without a response.

        Args:
            call: The call, such as `"POST /v2/leads/create"`.
            carried_out: Whether the requests are carried out first; the record then has their status.
            times: How many requests are dropped.

        Raises:
            ValueError: if *call* is not a call, or *times* is less than 1.
        """
        with self._service.lock:
            self._service.outcomes.add(call, Drop.AFTER if carried_out else Drop.BEFORE, times)

    def delay_next(self, call: str, seconds: float, *, times: int = 1) -> None:
        """Delay the responses to the next requests.

        A client may time out meanwhile.

        Args:
            call: The call, such as `"GET /v2/users"`.
            seconds: How long to wait, in seconds.
            times: How many requests wait.

        Raises:
            ValueError: if *call* is not a call, *times* is less than 1, or *seconds* less than 0.
        """
        if not 0 <= seconds < FOREVER:
            raise ValueError(f"seconds must be at least 0 and less than {FOREVER:.0f}, not {seconds}")
        with self._service.lock:
            self._service.delays.add(call, seconds, times)

    def hold_token_requests(self) -> AbstractContextManager[None]:
        """Hold the token requests that arrive in the `with` block until the block ends.

        All other requests get their responses meanwhile. The response to a held request is decided when it is
        released, in the order of arrival. If blocks overlap, the last one to end releases the requests.
        """
        return self._service.gate.hold()

    def wait_for_token_requests(self, count: int, timeout: float = 10.0) -> None:
        """Wait until so many token requests have arrived since the sandbox was made or reset.

        Args:
            count: How many, with a response or not.
            timeout: How long to wait, in seconds.

        Raises:
            TimeoutError: if fewer have arrived by then.
        """
        self._service.gate.wait_for(count, timeout)

    # The record

    @property
    def token_requests(self) -> int:
        """How many token requests have arrived, with a response or not."""
        return self._service.gate.count

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """The requests received so far, in the order in which they got their responses or were dropped.

        A request is there before its client gets the response. Pending requests are at the end, also if their
        client has given up. What the server could not read is there, too, with a reason.
        """
        return self._service.received

    def calls(self, call: str) -> tuple[ReceivedRequest, ...]:
        """The requests for one call received so far.

        Args:
            call: The call, such as `"/v2/users"`. Queries do not count.

        Raises:
            ValueError: if *call* is not a call.
        """
        return calls_in(self.received, call)

    def assert_received(
        self, call: str, times: int | None = None, *, status: int | None = None, json: object = NOT_GIVEN
    ) -> tuple[ReceivedRequest, ...]:
        """Assert that requests for one call were received, or not.

            thebase.assert_received("POST /v2/leads/create", times=1, status=201)

        Args:
            call: The call, such as `"POST /v2/leads/create"`.
            times: How many of them; by default, at least one.
            status: Count only those whose response had this status code.
            json: Count only those whose body was this JSON document.

        Returns:
            The requests.

        Raises:
            AssertionError: if they were not. The message begins with what differs in the nearest request, and
                lists what was received, without header fields.
            ValueError: if *call* is not a call, or *times* is 0 and *call* means none of the sandbox's calls.
        """
        __tracebackhide__ = True
        if times == 0:
            check_known(call, [("POST", TOKEN_PATH), *crm_calls()])
        return assert_in(self.received, call, times, status, json)

    def assert_levers_used(self) -> None:
        """Assert that requests have used every `..._next` lever.

        The fixture `thebase` does this at the end of each test that passes.

        Raises:
            AssertionError: if one was not used. The message says what is left, and lists what was received.
        """
        __tracebackhide__ = True
        with self._service.lock:
            left = [*self._service.delays.left(), *self._service.outcomes.left()]
        assert_used(left, self.received)
