"""The sandbox in a process of its own: its record grows, and is no part of what is measured."""

from __future__ import annotations

from typing import Any

from thebase_auth.testing import ReceivedRequest, Sandbox
from thebase_auth.testing._faults import Coming

from ._bodies import what_is_wrong
from ._processes import answer_all


class _Commands:
    """What can be asked of the process: the levers by their own names, and these."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._revocations = 0

    def __call__(self, what: str, details: list[Any]) -> Any:
        return (getattr(self, what, None) or getattr(self._sandbox, what))(*details)

    def where(self) -> list[str]:
        """Domain and credentials."""
        return [self._sandbox.domain, self._sandbox.client_id, self._sandbox.client_secret]

    def revoke_tokens(self) -> None:
        """Count those revocations alone that end a token."""
        self._revocations += bool(self._sandbox._access._issued)
        self._sandbox.revoke_tokens()

    def revocations(self) -> int:
        return self._revocations

    def token_requests(self) -> int:
        return self._sandbox.token_requests

    def single_token(self, on: bool) -> None:
        self._sandbox.single_token = on

    def refuse(self, call: str) -> None:
        self._sandbox.client.refuse(call)

    def allow(self, call: str) -> None:
        self._sandbox.client.allow(call)

    def drop_next(self, call: str, carried_out: bool) -> None:
        self._sandbox.drop_next(call, carried_out=carried_out)

    def calm(self) -> None:
        """Forget the faults that nobody has met yet."""
        with self._sandbox._changed:
            self._sandbox._outcomes, self._sandbox._delays = Coming(), Coming()

    def record(self) -> list[dict[str, Any]]:
        return [_as_json(one) for one in self._sandbox.received]


def _as_json(request: ReceivedRequest) -> dict[str, Any]:
    """What is needed of a request; its body, which may be long, is looked at here."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    call = request.headers.get("x-call")
    return {
        "call": call,
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "token": token if scheme == "Bearer" else None,
        "known": request.client_id is not None,
        "wrong": what_is_wrong(request.body, call) if call and request.method == "POST" else None,
    }


def main() -> None:
    """Run the sandbox until nobody asks any more."""
    with Sandbox() as sandbox:
        answer_all(_Commands(sandbox))


if __name__ == "__main__":
    main()
