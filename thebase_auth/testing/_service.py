# The course of a request through the sandbox: it is recorded, held or delayed, meets a fault or is carried
# out, and gets its response.

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from thebase_auth._core.flight import Event
from thebase_auth._waiting import wait_async

from ._access import Access, Settings
from ._crm import crm_routes
from ._faults import Drop, Faults, Gate
from ._messages import TOKEN_PATH, Problem, Reason, Request, Response
from ._received import Received, ReceivedRequest, malformed, why_broken
from ._routing import PREFIX, route_of

FOREVER: Final = threading.TIMEOUT_MAX

OnRequest: TypeAlias = Callable[[ReceivedRequest], object]


_DELAYED: Final = Reason("delayed by a lever", "עיכוב יזום")
_RESPONDED: Final = Reason("response by a lever", "תשובה יזומה")
_FAILED: Final = Reason("the sandbox failed", "תקלה בשרת המדומה")
# Any other outcome is a response that a lever gave.
_OF_LEVER: Final[dict[Response | Drop | None, str]] = {
    None: "",
    Drop.BEFORE: Reason("dropped by a lever", "ניתוק יזום"),
    Drop.AFTER: Reason("dropped by a lever after it was carried out", "ניתוק יזום, אחרי שהבקשה בוצעה"),
}

logger: Final = logging.getLogger("thebase_auth.testing")


class _Record:
    """The requests received since the last reset.

    Attributes:
        done: Those with a response or dropped, in this order.
        pending: The others by their numbers.
    """

    def __init__(self, most: int | None) -> None:
        self.done: deque[ReceivedRequest] = deque(maxlen=most)
        self.pending: dict[int, ReceivedRequest] = {}

    def finish(self, received: ReceivedRequest) -> None:
        self.pending.pop(received.number, None)
        self.done.append(received)


class Service:
    """Responds to requests, from any thread.

    Args:
        settings: The clients, and what tokens are like.
        on_request: Called with each request after the response is made, in the thread that made it.

    Attributes:
        lock: Guards all that follows, except for the gate.
        access: The clients and their tokens.
        delays: How many seconds the next requests wait for their responses.
        outcomes: What the next requests get instead of their responses.
        gate: Where token requests arrive.
    """

    def __init__(self, settings: Settings, on_request: OnRequest | None = None) -> None:
        self.lock = threading.RLock()
        self.gate = Gate()
        self._settings = settings
        self._on_request = on_request
        self._most: int | None = None
        self._longest: int | None = None
        self.reset()

    def reset(self) -> None:
        """Forget tokens, data, faults, and the requests received so far."""
        with self.lock:
            self.access = Access(self._settings)
            self.delays: Faults[float] = Faults()
            self.outcomes: Faults[Response | Drop] = Faults()
            self._routes = crm_routes()
            self._record = _Record(self._most)
        self.gate.reset()

    def keep(self, most: int, longest: int) -> None:
        """Keep less from now on, for a sandbox that runs for long.

        Args:
            most: How many requests are kept, the last ones.
            longest: How many bytes of a body are kept, the first ones.
        """
        with self.lock:
            self._most, self._longest = most, longest
            self._record.done = deque(self._record.done, most)

    @property
    def received(self) -> Received:
        """The requests received so far: those with a response or dropped, then the pending ones."""
        with self.lock:
            return (*self._record.done, *self._record.pending.values())

    def malformed(self, head: bytes, error: str) -> str:
        """Record what is not HTTP, and return the reason, for the client."""
        received = malformed(head, error)
        self._finish(received)
        return received.reason

    async def exchange(self, request: Request) -> Response | None:
        """Take a request, and return its response; None drops the connection."""
        path = f"{request.path}?{request.query}" if request.query else request.path
        body = request.body[: self._longest]
        received = ReceivedRequest(request.method, path, request.headers, body, status=None, at=time.time())
        if request.broken is not None:
            reason, status = why_broken(request.broken), 400 if request.broken else None
            received = replace(received, status=status, reason=reason)
            self._finish(received)
            return Problem(400, reason).response(request).to_send(request.method) if status else None
        with self.lock:
            record = self._record  # and no later one: a reset forgets this request
            record.pending[received.number] = received
        if (request.method, request.path) == ("POST", TOKEN_PATH) and (release := self.gate.arrive()):
            await wait_async(release, FOREVER)
        with self.lock:
            delay = self.delays.take(request)
            if delay is not None:
                received = record.pending[received.number] = replace(received, reason=_DELAYED)
        if delay is not None:
            await wait_async(Event(), delay)
        with self.lock:
            response, received = self._decide(request, received)
            record.finish(received)
        self._notify(received)
        return None if response is None else response.to_send(request.method)

    def _finish(self, received: ReceivedRequest) -> None:
        """Record what no part of the sandbox has looked at: it was not HTTP, or not whole."""
        with self.lock:
            self._record.finish(received)
        self._notify(received)

    def _decide(self, request: Request, received: ReceivedRequest) -> tuple[Response | None, ReceivedRequest]:
        """The response to a request, or None to drop the connection, and what the record says of it."""
        outcome = self.outcomes.take(request)
        response = outcome if isinstance(outcome, Response) else None
        client = None
        try:
            client = self.access.client_by_secret(request) or self.access.client_by_token(request)
            if outcome in (None, Drop.AFTER):
                response = self._carry_out(request)
        except Exception:
            logger.exception("the sandbox failed at %s", received)
            response = Problem(500, reason=_FAILED).response(request)
        reasons = received.reason, _OF_LEVER.get(outcome, _RESPONDED), response.reason if response else ""
        received = replace(
            received,
            reason=Reason.of_all(reasons),
            status=None if response is None else response.status,
            client_id=None if client is None else client.client_id,
        )
        return None if isinstance(outcome, Drop) else response, received

    def _carry_out(self, request: Request) -> Response:
        try:
            if request.path == TOKEN_PATH:
                return self.access.response(request)
            if request.path.startswith(f"{PREFIX}/"):
                self.access.check(request)
            return route_of(request, self._routes).response(request)
        except Problem as problem:
            return problem.response(request)

    def _notify(self, received: ReceivedRequest) -> None:
        if self._on_request is not None:
            try:
                self._on_request(received)
            except Exception:
                logger.exception("on_request failed for %s", received)
