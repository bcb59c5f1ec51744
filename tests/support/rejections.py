"""What a 401 may contain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 1000
        await asyncio.sleep(0.001)


async def _of_unknown_length() -> AsyncIterator[bytes]:
    yield b"refused"


#: What makes the content that a test server sends, and whether the plugin reads it before a replay.
CONTENTS: dict[str, tuple[Callable[[], Any], bool]] = {
    "short": (lambda: b"refused", True),
    "long": (lambda: b"x" * (2**20 + 1), False),
    "of unknown length": (_of_unknown_length, False),
    "endless": (_endless, False),
}
