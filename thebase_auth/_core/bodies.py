# Whether a request's body can be sent again, and how.
#
# Here: the kinds of body that the HTTP libraries take, and what has to be noted of each before it is
# sent. Not here: when it is sent again, and where a library keeps the body in its request (the adapters).
#
# The rule: the body first sent, or nothing. A body that merely looks fresh is the trap: a file that was
# read to its end and an exhausted iterator are silently empty the second time. So a file is sent again
# from where it stood, as many bytes as were announced, and only if it is what it was; lists and tuples of
# bytes are in memory; every other iterable is sent once. Nothing is read, copied or iterated to find out.

from __future__ import annotations

import io
import os
import stat
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

_BLOCK: Final = 65_536  # bytes
#: A longer body may lose its 401 while it is still being sent, and would travel twice.
LARGE: Final = 2**20  # bytes


class InMemory:
    """A body that is in memory, or no body at all."""

    def rewind(self) -> bool:
        """Nothing has to be done to send it again."""
        return True


class Once:
    """A body that is gone when it has been sent: a generator, a pipe, an object of unknown kind."""

    def rewind(self) -> bool:
        """It cannot be sent again."""
        return False


class File:
    """A file that can go back to where it stood before it was sent.

    To iterate it is to read it from there: as many bytes as were announced, whatever it has grown by.
    """

    def __init__(self, file: Any, start: int, length: int, *, announced: bool = True) -> None:
        self.file = file
        self._start = start
        self._length = length
        self._announced = announced  # if not, the library has sent all that there was
        self._state = _state(file)

    def rewind(self) -> bool:
        """Go back to the start, and say whether what was sent is still there."""
        try:
            if self._state != _state(self.file):
                return False
            left = _end(self.file) - self._start - self._length
            if (left < 0 and self._state is None) or (left != 0 and not self._announced):
                return False
            self.file.seek(self._start)
            if self._length == 0 and self.file.read(1):
                return False  # some files of the system say that they are empty, and are not
            self.file.seek(self._start)
            return bool(self.file.tell() == self._start)
        except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot go back
            return False

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(self._start)
        left = self._length
        while left > 0 and (chunk := self.file.read(min(left, _BLOCK))):
            encoded = chunk.encode() if isinstance(chunk, str) else chunk  # as requests sends text
            yield encoded[:left]
            left -= len(encoded)


class Files:
    """The files of a multipart body, which the library itself reads from their beginnings to their ends."""

    def __init__(self, files: Iterable[Any]) -> None:
        self._files = list(files)
        self._before = [self._look(file) for file in self._files]

    def rewind(self) -> bool:
        """Say whether each of them is what it was."""
        try:
            return self._before == [self._look(file) for file in self._files]
        except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot be sent again
            return False

    @staticmethod
    def _look(file: Any) -> object:
        return _state(file) or _end(file)


Body: TypeAlias = InMemory | Once | File | Files

IN_MEMORY: Final = InMemory()
ONCE: Final = Once()


def body_of(content: Any, length: int | None) -> Body:
    """What *content* is, before it is sent.

    Args:
        content: The body as the user gave it.
        length: Bytes, as announced in ``Content-Length``; None if they are not.
    """
    if is_in_memory(content):
        return IN_MEMORY
    try:
        if not hasattr(content, "read") or not is_seekable(content):
            return ONCE
        start = content.tell()
        if length is not None:
            return File(content, start, length)
        left = _end(content) - start
        content.seek(start)
        return File(content, start, left, announced=False)
    except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot go back
        return ONCE


def files_of(files: Iterable[Any]) -> Body:
    """What the files of a multipart body are, before they are sent."""
    try:
        files = list(files)
        return Files(files) if all(map(is_seekable, files)) else ONCE
    except Exception:  # noqa: BLE001 - whatever a user's object raises, it cannot go back
        return ONCE


def is_in_memory(content: Any) -> bool:
    """Whether *content* can be sent any number of times as it is."""
    if content is None or isinstance(content, (bytes, str, bytearray, memoryview, array)):
        return True
    return isinstance(content, (list, tuple)) and all(isinstance(one, bytes) for one in content)


def is_seekable(file: Any) -> bool:
    """Whether *file* says where it is, and can go back there."""
    seekable = getattr(file, "seekable", None)
    return hasattr(file, "seek") and (seekable is None or bool(seekable())) and isinstance(file.tell(), int)


def _state(file: Any) -> tuple[int, int] | None:
    """Size and modification time of a real file; None for what is none."""
    file.seek(file.tell())  # so that what was written to it is in the file, and not in a buffer
    try:
        found = os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError, TypeError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _end(file: Any) -> int:
    position = file.tell()
    try:
        return int(file.seek(0, io.SEEK_END) or file.tell())
    finally:
        file.seek(position)
