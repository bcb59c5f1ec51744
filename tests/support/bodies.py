"""Bodies that users send, of every kind, and what it takes to send one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from hypothesis import HealthCheck, settings

from thebase_auth._body import (
    AsyncRepeatable,
    Repeatable,
    body_to_send,
)

# A busy machine is no fault of what is tested.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def repeatable(content: Any) -> Repeatable:
    body = body_to_send(content)
    assert isinstance(body, Repeatable)
    return body


def async_repeatable(content: Any) -> AsyncRepeatable:
    body = body_to_send(content)
    assert isinstance(body, AsyncRepeatable)
    return body


async def send(body: AsyncRepeatable) -> list[Any]:
    return [chunk async for chunk in body]


class Chunks:
    """An iterable that begins anew each time, and counts how often it was begun."""

    def __init__(self, *contents: Iterable[Any]) -> None:
        self.contents = contents
        self.begun = 0

    def __iter__(self) -> Iterator[Any]:
        self.begun += 1
        yield from self.contents[min(self.begun, len(self.contents)) - 1]


class AsyncIteratorOf:
    """No async generator, so that it may be left before its end."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> AsyncIteratorOf:
        return self

    async def __anext__(self) -> Any:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


class AsyncChunks:
    """The same for async."""

    def __init__(self, *contents: Iterable[Any]) -> None:
        self.chunks = Chunks(*contents)

    def __aiter__(self) -> AsyncIterator[Any]:
        return AsyncIteratorOf(iter(self.chunks))


def a_generator() -> Iterator[bytes]:
    yield CONTENT


async def an_async_generator() -> AsyncIterator[bytes]:
    yield CONTENT


CONTENT = b"0123456789"
