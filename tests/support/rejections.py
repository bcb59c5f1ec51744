"""401s of every kind that the plugin has to read or close before it fetches a token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from tests.support.servers import Api, Received, Response


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 1000
        await asyncio.sleep(0.001)


#: What makes a 401, and the content that it has in the history.
REJECTIONS: dict[str, tuple[Callable[[], Response], bytes]] = {
    "short": (lambda: (401, {}, b"rejected"), b"rejected"),
    "long": (lambda: (401, {}, b"x" * (2**20 + 1)), b""),
    "endless": (lambda: (401, {}, _endless()), b""),
    "damaged": (lambda: (401, {"Content-Encoding": "gzip"}, b"this is not gzip" * 10_000), b""),
}


def reject_first_token(api: Api, rejection: str) -> Callable[[Received], Response]:
    """Make a handler that rejects the first token of *api* with this 401."""
    make, _ = REJECTIONS[rejection]
    return lambda request: make() if request.authorization == "Bearer token-1" else api(request)
