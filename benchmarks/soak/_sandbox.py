"""The sandbox in a process of its own: its record grows, and is no part of what is measured."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from benchmarks._processes import answer_all, wait_for
from thebase_auth.testing import ReceivedRequest, Sandbox
from thebase_auth.testing._access import Access, SandboxClient
from thebase_auth.testing._asgi import asgi_app
from thebase_auth.testing._faults import Faults
from thebase_auth.testing._messages import TOKEN_PATH, Request, Response
from thebase_auth.testing._record import why_broken
from thebase_auth.testing._service import Service

from ._bodies import document_in, what_is_wrong

_PIECES = 10  # in which a 401 drips


class _Access(Access):
    """Knows when each token ended."""

    newest: str | None = None

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.ended: dict[str, float] = {}

    def revoke(self, client: SandboxClient | None = None, why: str = "revoked token") -> None:
        live = [token for token, one in self._issued.items() if not one.ended]
        self.ended |= dict.fromkeys(live, time.monotonic())
        super().revoke(client, why)

    def _issue(self, client: SandboxClient) -> str:
        self.newest = super()._issue(client)
        return self.newest


class _Service(Service):
    """Its record says of each request what explains its answer, and keeps no bodies."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.access: _Access = _Access(sandbox)
        self.record: list[dict[str, Any]] = []
        self._client = sandbox.client

    def _decide(self, request: Request, entry: Any) -> tuple[Response | None, ReceivedRequest]:
        call, wrong = request.headers.get("x-call", ""), None
        if request.method == "POST" and request.path != TOKEN_PATH:
            wrong = what_is_wrong(_document(request), call)
        with self.lock:
            self.access.newest = None
            has_permission = self._client.may(request.method, request.path)
            answer, decided = super()._decide(request, entry)
            self._record.remove(entry)
            self.record.append(
                {
                    "at": time.monotonic(),
                    "call": call,
                    "method": request.method,
                    "path": request.path,
                    "status": decided.status,
                    "token": request.credentials("bearer") or None,
                    "issued": self.access.newest,
                    "known": decided.client_id is not None,
                    "has_permission": has_permission,
                    "wrong": wrong,
                }
            )
        return answer, decided

    def _carry_out(self, request: Request) -> Response:
        if request.method == "POST" and request.path != TOKEN_PATH:  # whatever form the lead has
            headers = request.headers | {"content-type": "application/json"}
            request = replace(request, headers=headers, body=_document(request))
        return super()._carry_out(request)


class _Sandbox(Sandbox):
    """Its methods are also the commands of the process: the levers, and those that follow here."""

    def __init__(self) -> None:
        super().__init__()
        self._service: _Service = _Service(self)
        self._revocations = 0
        self._drips: list[float] = []  # seconds that the next 401s take
        self._app, self.asgi = asgi_app(self._service.exchange), self._drip

    async def _drip(self, scope: Any, receive: Any, send: Any) -> None:
        pause = 0.0

        async def send_slowly(message: Any) -> None:
            nonlocal pause
            if message.get("status") == 401 and self._drips:
                pause = self._drips.pop() / _PIECES
            body = message.get("body", b"")
            size = len(body) // _PIECES
            while pause and len(body) > size > 0:
                await send(message | {"body": body[:size], "more_body": True})
                await asyncio.sleep(pause)
                body = body[size:]
            await send(message | ({"body": body} if "body" in message else {}))

        await self._app(scope, receive, send_slowly)

    # The commands

    def where(self) -> list[str]:
        """Domain and credentials."""
        return [self.domain, self.client_id, self.client_secret]

    def revoke_tokens(self, client: SandboxClient | None = None) -> None:
        """Count only those revocations that end a token."""
        with self._service.lock:
            self._revocations += bool(self._service.access._issued)
            super().revoke_tokens(client)

    def switch_single_token(self) -> None:
        self.single_token = not self.single_token

    def refuse_for(self, call: str, seconds: float) -> None:
        """Take the right to a call for so long, or until it is calm."""
        with self._service.lock:
            self.client.refuse(call)
        threading.Timer(seconds, self._allow, [call]).start()

    def _allow(self, *calls: str) -> None:
        with self._service.lock:
            for call in calls:
                with suppress(ValueError):  # it is allowed
                    self.client.allow(call)

    def drop(self, call: str, carried_out: bool) -> None:
        self.drop_next(call, carried_out=carried_out)

    def drip(self, seconds: list[float]) -> None:
        """Let the bodies of the next 401s come bit by bit, each in so many seconds."""
        self._drips = seconds

    def calm(self) -> None:
        """Forget the faults that nobody has met yet, and give every right back."""
        with self._service.lock:
            self._service.outcomes, self._service.delays, self._drips = Faults(), Faults(), []
            self.single_token = False
            self._allow(*self.client._refused)

    def counts(self) -> tuple[int, int]:
        """How many revocations there were, and token requests."""
        return self._revocations, self.token_requests

    def record(self) -> list[dict[str, Any]]:
        """All requests; those that brought a token also say when that ended."""
        service = self._service
        # What the client broke off has not been decided.
        wait_for(lambda: {one.reason for one in service.received} <= {why_broken("")}, 10)
        ended = service.access.ended
        return [one | {"ended": ended.get(one["issued"])} for one in service.record]


def _document(request: Request) -> bytes:
    return document_in(request.body, request.headers.get("content-type", ""))


if __name__ == "__main__":
    with _Sandbox() as the_sandbox:
        answer_all(lambda: the_sandbox)
