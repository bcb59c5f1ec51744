# Whether a request's body can be sent again, and how.
#
# Here: the kinds of body that the HTTP libraries take, and for each of them the one safe way to get
# the bytes of its first sending a second time. Not here: when that is needed, and where a library
# keeps the body in its request (the adapters).
#
# The rule: byte for byte the body first sent, or nothing. A body that merely looks fresh is the
# trap: a file that was read to its end and an exhausted iterator are silently empty the second
# time. So a file goes back to where it began and must say that it is there; an iterable is read
# again and must have the digest of what was sent; all else is sent once.

from __future__ import annotations

import hashlib
from array import array
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, Final, Generic, TypeAlias, TypeVar

#: The longest iterable body that is held in memory for a replay, in bytes. Longer ones are sent once.
LONGEST_REREAD: Final = 64 * 2**20

_Chunks = TypeVar("_Chunks", Iterable[Any], AsyncIterable[Any])


class Fixed:
    """A body that is in memory, or no body at all."""

    once_only = False

    def can_repeat(self) -> bool:
        """Make ready to be sent again, and say whether that is possible."""
        return True


class Once:
    """A body that is gone when it has been sent: a generator, a pipe, an object of unknown kind."""

    once_only = True

    def can_repeat(self) -> bool:
        """No."""
        return False


class Files:
    """A body that is read from files, each of which can go back to where it began."""

    once_only = False

    def __init__(self, starts: list[tuple[Any, int]]) -> None:
        self._starts = starts

    def can_repeat(self) -> bool:
        """Put every file back to where it began, and say whether each is there."""
        return all(_goes_to(file, start) for file, start in self._starts)


class _Watched(Generic[_Chunks]):
    """An iterable body, watched as it is sent. Stands in the request in the iterable's place."""

    once_only = False

    def __init__(self, chunks: _Chunks) -> None:
        self._chunks: _Chunks = chunks
        self._sent: bytes | None = None

    def can_repeat(self) -> bool:
        """Whether the body was sent to its end: of half a body nobody knows the other half."""
        return self._sent is not None

    def _checked(self, again: bytearray) -> bytes | None:
        same = hashlib.sha256(again).digest() == self._sent
        return bytes(again) if same else None


class Repeatable(_Watched[Iterable[Any]]):
    """A body that is an iterable and no iterator."""

    def __iter__(self) -> Iterator[Any]:
        self._sent = None
        digest = hashlib.sha256()
        for chunk in self._chunks:
            digest.update(_as_bytes(chunk))
            yield chunk
        self._sent = digest.digest()

    def reread(self) -> bytes | None:
        """Read the iterable again: its bytes if they are those that were sent, otherwise None."""
        again = bytearray()
        try:
            for chunk in self._chunks:
                again += _as_bytes(chunk)
                if len(again) > LONGEST_REREAD:
                    return None
        except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot be read again
            return None
        return self._checked(again)


class AsyncRepeatable(_Watched[AsyncIterable[Any]]):
    """A body that is an async iterable and no async iterator."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        self._sent = None
        digest = hashlib.sha256()
        async for chunk in self._chunks:
            digest.update(_as_bytes(chunk))
            yield chunk
        self._sent = digest.digest()

    async def reread(self) -> bytes | None:
        """Read the iterable again: its bytes if they are those that were sent, otherwise None."""
        again = bytearray()
        try:
            async for chunk in self._chunks:
                again += _as_bytes(chunk)
                if len(again) > LONGEST_REREAD:
                    return None
        except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot be read again
            return None
        return self._checked(again)


Body: TypeAlias = Fixed | Once | Files | Repeatable | AsyncRepeatable

FIXED: Final = Fixed()
ONCE: Final = Once()


def body_of(content: Any) -> Body:
    """Say what kind of body *content* is, before it is sent.

    A `Repeatable` or `AsyncRepeatable` has to be put in the place of *content* by the caller.
    """
    if content is None or isinstance(content, (bytes, str, bytearray, memoryview, array)):
        return FIXED
    if isinstance(content, (Repeatable, AsyncRepeatable)):
        return content
    if hasattr(content, "__anext__") or hasattr(content, "aread"):
        return ONCE
    if hasattr(content, "__aiter__"):
        return AsyncRepeatable(content)
    if hasattr(content, "read"):
        return files([content])
    if hasattr(content, "__iter__") and not hasattr(content, "__next__"):
        return Repeatable(content)
    return ONCE


def files(contents: list[Any], *, start: int | None = None) -> Files | Once:
    """The body that is read from these files, from where each is now or from *start*."""
    starts = []
    for file in contents:
        here = _position(file)
        if here is None:
            return ONCE
        starts.append((file, here if start is None else start))
    return Files(starts)


def _position(file: Any) -> int | None:
    try:
        seekable = getattr(file, "seekable", None)
        position = file.tell() if seekable is None or seekable() else None
    except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot go back
        return None
    return position if isinstance(position, int) else None


def _goes_to(file: Any, position: int) -> bool:
    try:
        file.seek(position)
        return bool(file.tell() == position)
    except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot go back
        return False


def _as_bytes(chunk: Any) -> Any:
    # requests takes iterables of text too and sends them as UTF-8.
    return chunk.encode() if isinstance(chunk, str) else chunk
