# Whether a request's body can be sent again, and how.
#
# Here: the kinds of body that the HTTP libraries take, and for each of them the one safe way to get
# the bytes of its first sending a second time. Not here: when that is needed, and where a library
# keeps the body in its request (the adapters).
#
# The rule: byte for byte the body first sent, or nothing. A body that merely looks fresh is the
# trap: a file that was read to its end and an exhausted iterator are silently empty the second
# time, and a file may have changed meanwhile. So what is not in memory is watched while it is sent,
# and read again before a replay: it must have the digest of what was sent. All else is sent once.

from __future__ import annotations

import hashlib
import io
from array import array
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

#: The longest iterable that is held in memory for a replay, in bytes. A longer one is sent once.
LONGEST_REREAD: Final = 64 * 2**20
_BLOCK: Final = 65_536


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


class File:
    """A file that can go back to where it began. Stands in the request in the file's place.

    Passes on what is asked of it, and takes the digest of what is read.
    """

    once_only = False

    def __init__(self, file: Any, start: int) -> None:
        self._file = file
        self._start = start
        self._limit: int | None = None  # once the file was sent to its end, as much and no more
        self._begin()

    def _begin(self) -> None:
        self._sent = hashlib.sha256()
        self._length = 0  # of what was sent, in what the file's read() counts
        self._ended = False
        self._put_back = False  # made ready for a replay that has not begun

    def __getattr__(self, name: str) -> Any:
        if name == "len" and hasattr(type(self._file), "__len__"):
            return len(self._file)  # where requests looks for a length next
        if name.startswith("_"):  # of the protocols it has its own, and it can be copied half made
            raise AttributeError(name)
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[Any]:
        while chunk := self.read(_BLOCK):
            yield chunk

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return _itself, (self._file,)  # a copy of a request has the user's file again

    def read(self, size: int | None = -1, /) -> Any:
        """Read as the file itself does; in a replay, not beyond what was sent at first."""
        if self._put_back:
            self._begin()
        if self._limit is not None:
            left = self._limit - self._length
            size = left if size is None or size < 0 else min(size, left)
        chunk = self._file.read(size)
        if chunk:
            self._sent.update(_as_bytes(chunk))
            self._length += len(chunk)
        else:
            self._ended = size != 0
        return chunk

    def seek(self, *args: Any) -> Any:
        """Go where the file itself goes; what is sent begins there."""
        self._begin()
        return self._file.seek(*args)

    def can_repeat(self) -> bool:
        """Put the file back to where it began, if what was sent is still there."""
        try:
            return self._has_what_was_sent()
        except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot go back
            return False

    def _has_what_was_sent(self) -> bool:
        if self._length == 0 and self._file.tell() != self._start:
            return False  # it was read, and not by us
        self._file.seek(self._start)
        again, left = hashlib.sha256(), self._length
        while left > 0 and (chunk := self._file.read(min(left, _BLOCK))):
            again.update(_as_bytes(chunk))
            left -= len(chunk)
        if again.digest() != self._sent.digest():
            return False
        if self._ended:
            self._limit = self._length
        self._file.seek(self._start)
        self._put_back = True
        return bool(self._file.tell() == self._start)


@io.TextIOBase.register
class TextFile(File):
    """A file of text. By this type urllib3 knows that it has to encode what it reads."""


class Files:
    """A body that is made of several files and of parts in memory."""

    once_only = False

    def __init__(self, files: list[File]) -> None:
        self._files = files

    def can_repeat(self) -> bool:
        """Put every file back to where it began, if what was sent is still there."""
        return all(file.can_repeat() for file in self._files)


class _Watched:
    """An iterable body. Stands in the request in the iterable's place, and passes its chunks on."""

    once_only = False

    def __init__(self, chunks: Any) -> None:
        self._chunks = chunks
        self._sent: bytes | None = None

    def can_repeat(self) -> bool:
        """Whether the body was sent to its end: of half a body nobody knows the other half."""
        return self._sent is not None

    def _if_same(self, again: bytearray) -> bytes | None:
        return bytes(again) if hashlib.sha256(again).digest() == self._sent else None


class Repeatable(_Watched, Iterable[Any]):
    """A body that is an iterable and no iterator."""

    def __iter__(self) -> Iterator[Any]:
        self._sent = None
        digest = hashlib.sha256()
        for chunk in self._chunks:
            digest.update(_as_bytes(chunk or b""))
            yield chunk
        self._sent = digest.digest()

    def reread(self) -> bytes | None:
        """Read the iterable again: its bytes if they are those that were sent, otherwise None."""
        again = bytearray()
        try:
            for chunk in self._chunks:
                again += _as_bytes(chunk or b"")
                if len(again) > LONGEST_REREAD:
                    return None
        except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot be read again
            return None
        return self._if_same(again)


class AsyncRepeatable(_Watched, AsyncIterable[Any]):
    """A body that is an async iterable and no async iterator."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        self._sent = None
        digest = hashlib.sha256()
        async for chunk in self._chunks:
            digest.update(_as_bytes(chunk or b""))
            yield chunk
        self._sent = digest.digest()

    async def reread(self) -> bytes | None:
        """Read the iterable again: its bytes if they are those that were sent, otherwise None."""
        again = bytearray()
        try:
            async with _closing(aiter(self._chunks)) as chunks:
                async for chunk in chunks:
                    again += _as_bytes(chunk or b"")
                    if len(again) > LONGEST_REREAD:
                        return None
        except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot be read again
            return None
        return self._if_same(again)


Body: TypeAlias = Fixed | Once | File | Files | Repeatable | AsyncRepeatable
StandIn: TypeAlias = File | Repeatable | AsyncRepeatable

FIXED: Final = Fixed()
ONCE: Final = Once()


def sent_body(content: Any) -> Body:
    """The kind of a body that has been sent: known by what stands in its place, or else once."""
    if content is None or isinstance(content, (bytes, str, bytearray, memoryview, array)):
        return FIXED
    return content if isinstance(content, StandIn) else ONCE


def body_to_send(content: Any) -> Body:
    """The kind of a body that has yet to be sent.

    The caller puts a `StandIn` in the place of *content*, so that it is watched.
    """
    known = sent_body(content)
    if known is not ONCE:
        return known
    # The libraries, too, take what is both kinds of iterable for a sync one.
    if isinstance(content, Iterable):
        if hasattr(content, "read"):
            return watched_file(content)
        return ONCE if isinstance(content, Iterator) else Repeatable(content)
    if isinstance(content, AsyncIterable):
        read_otherwise = isinstance(content, AsyncIterator) or hasattr(content, "aread")
        return ONCE if read_otherwise else AsyncRepeatable(content)
    return watched_file(content) if hasattr(content, "read") else ONCE


def watched_file(file: Any, *, start: int | None = None) -> File | Once:
    """A file that is sent from where it is now, or from *start*, if it can go back there."""
    if isinstance(file, File):
        return file
    try:
        seekable = getattr(file, "seekable", None)
        position = file.tell() if hasattr(file, "seek") and (not seekable or seekable()) else None
    except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot go back
        return ONCE
    if not isinstance(position, int):
        return ONCE
    stand_in = TextFile if isinstance(file, io.TextIOBase) else File
    return stand_in(file, position if start is None else start)


@asynccontextmanager
async def _closing(chunks: AsyncIterator[Any]) -> AsyncIterator[AsyncIterator[Any]]:
    try:
        yield chunks
    finally:
        if isinstance(
            chunks, AsyncGenerator
        ):  # left before its end, it would be left to a collector
            await chunks.aclose()


def _itself(file: Any) -> Any:
    """What stands for a watched file in a copy or a pickle."""
    return file


def _as_bytes(chunk: Any) -> Any:
    # requests takes iterables of text too and sends them as UTF-8.
    return chunk.encode() if isinstance(chunk, str) else chunk
