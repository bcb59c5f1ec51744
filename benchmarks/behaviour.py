"""What becomes of a call, with each way to sign it. Nothing is timed.

* revoked token: the status of the next GET after the server revoked a token that has not expired.
* upload: the same for a POST of a file. Did the server get the whole file, read once for each sending?
* 100 callers: how many token requests they make when they find the token expired at the same moment.
* another host: whether the token is sent to a host that it is not for.
* no permission: how many token requests 20 calls make for which the client lacks permission.
* event loop: whether other tasks run while the token is fetched.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from ._measure import print_table
from ._peers import OURS, Peer, peers_of
from ._server import ASYNC, FORMS, REQUESTS, Api
from .herd import at_once, ready_to_expire

_HEAD = ("revoked token", "upload", "100 callers", "another host", "no permission", "event loop")
_PROMISED = ("200", "whole", "1", "no token", "3", "runs")

# Returns the response of a call, which in an AsyncClient has to be awaited.
_Result: TypeAlias = Callable[[Any], Any]


def run(*, quick: bool) -> None:
    """Measure and print, some 15 seconds."""
    logger = logging.getLogger("thebase_auth")
    logger.setLevel(logging.ERROR)  # it warns of what is done here on purpose
    rows = []
    for form in FORMS:
        for name, peer in peers_of(form).items():
            with asyncio.Runner() as runner:
                row = _row(form, peer, runner.run if form == ASYNC else lambda response: response)
            rows.append((form, name, *row))
            if name == OURS:
                assert all(got in {promised, ""} for got, promised in zip(row, _PROMISED, strict=True)), row
    logger.setLevel(logging.NOTSET)
    print_table(("in", "with", *_HEAD), rows)


def _row(form: str, peer: Peer, result: _Result) -> tuple[str, ...]:
    return (
        _after_revocation(form, peer, result),
        "" if form == ASYNC else _upload_after_revocation(form, peer),
        _at_expiry(form, peer),
        _to_another_host(form, peer, result),
        _without_permission(form, peer, result),
        _event_loop(form, peer) if form == ASYNC else "",
    )


def _after_revocation(form: str, peer: Peer, result: _Result) -> str:
    api = Api()
    client, _ = peer(form, api)
    assert result(client.get(api.url)).status_code == 200
    api.revoke()
    return str(result(client.get(api.url)).status_code)


class _CountingFile(io.BytesIO):
    """A file that counts the bytes read from it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.count += len(piece)
        return piece


def _upload_after_revocation(form: str, peer: Peer) -> str:
    api = Api()
    client, _ = peer(form, api)
    assert client.get(api.url).status_code == 200
    api.revoke()
    file = _CountingFile(bytes(1000))
    status = client.post(api.url, **{"data" if form == REQUESTS else "content": file}).status_code
    if status != 200:
        return str(status)
    return "whole" if file.count == 1000 * api.calls else f"{status}, arrived empty"


def _at_expiry(form: str, peer: Peer) -> str:
    api, get = ready_to_expire(form, peer)
    api.revoke(token_takes=0.02)
    try:
        at_once(form, 100, get)
    except AssertionError:  # each gets a 401
        return f"{api.token_requests}, all fail"
    return "1" if api.token_requests == 1 else "up to 100"


def _to_another_host(form: str, peer: Peer, result: _Result) -> str:
    api = Api()
    client, _ = peer(form, api)
    result(client.get(api.url))
    is_signed = "Authorization" in result(client.get("https://elsewhere.example/")).request.headers
    return "token sent" if is_signed else "no token"


def _without_permission(form: str, peer: Peer, result: _Result) -> str:
    api = Api()
    client, _ = peer(form, api)
    api.lacks_permission = True
    for _call in range(20):
        result(client.get(api.url))
    return str(api.token_requests)


def _event_loop(form: str, peer: Peer) -> str:
    async def count_turns() -> int:
        """Count how often another task runs while a call fetches its token, for half a second."""
        api = Api()
        client, _ = peer(form, api)
        api.revoke(token_takes=0.5)
        call, count = asyncio.create_task(client.get(api.url)), 0
        while not call.done():
            await asyncio.sleep(0.01)
            count += 1
        return count

    return "runs" if asyncio.run(count_turns()) > 10 else "is blocked"
