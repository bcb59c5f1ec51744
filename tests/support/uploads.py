"""Bodies that a user uploads, and an upload whose first token is rejected."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from tests.support.clients import Client, auth_for
from tests.support.servers import Received, api_server

CONTENT = b"".join(b"%06d\n" % number for number in range(30_000))  # 210 kB: several chunks


class Chunks:
    """A body that can be iterated any number of times."""

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(CONTENT), 50_000):
            yield CONTENT[start : start + 50_000]


class OneShot:
    """A body that looks like `Chunks`, and is empty the second time it is iterated."""

    def __init__(self) -> None:
        self.times = 0
        self.inner = iter(Chunks())

    def __iter__(self) -> Iterator[bytes]:
        self.times += 1
        yield from self.inner


class AsyncOneShot:
    def __init__(self) -> None:
        self.times = 0
        self.inner = iter(Chunks())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.times += 1
        for chunk in self.inner:
            yield chunk


class Unseekable(io.RawIOBase):
    def __init__(self, content: bytes = CONTENT) -> None:
        self.inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.inner.readinto(buffer)


async def async_generator() -> AsyncIterator[bytes]:
    for chunk in Chunks():
        yield chunk


def opened(folder: Path) -> Any:
    path = folder / "body"
    path.write_bytes(CONTENT)
    return path.open("rb")


def piped() -> Any:
    read, write = os.pipe()
    os.write(write, b"x" * 1000)
    os.close(write)
    return os.fdopen(read, "rb")


def post_with_first_token_rejected(client: Client, **options: Any) -> tuple[int, list[Received], Any]:
    """Post to an API that rejects the token that the call begins with.

    Returns:
        The status, the requests that the API received for the call, and the reply.
    """
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        reply = client.post(auth, server.url + "/upload", **options)
        after = client.get(auth, server.url + "/after")
        assert (after.status, after.history) == (200, [])  # the next request has a fresh token
        assert api.token_requests == 2
    return reply.status, server.to("/upload"), reply
