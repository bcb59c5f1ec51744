# Whether a request's body can be sent again, and how.
#
# Here: the kinds of body, and what to note of each before it is sent. Not here: when it is sent again, and
# where a library keeps the body of its request (the adapters).
#
# The rule: the body first sent, or nothing. A file that was read to its end and an exhausted iterator are
# silently empty the second time. So a file is sent again from its first position, as many bytes as were
# announced, and only if it has not changed; lists and tuples of bytes are in memory; any other iterable is
# sent once. Nothing is read, copied or iterated to find out.

from __future__ import annotations

import io
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

_BLOCK: Final = 65_536  # bytes
#: A longer body may lose its 401 while it is still being sent, and travel twice.
LARGE: Final = 2**20  # bytes


class Body:
    """A body that is always the same: in memory, or gone once it was sent."""

    def __init__(self, *, can_repeat: bool) -> None:
        self._can_repeat = can_repeat

    def rewind(self) -> bool:
        """Make ready to be sent again. Whether that was possible, and the content is still the same."""
        return self._can_repeat


#: A body in memory, or none.
IN_MEMORY: Final = Body(can_repeat=True)
#: A generator, a pipe, an object of unknown kind.
ONCE: Final = Body(can_repeat=False)


class File(Body):
    """A file that can go back to its position before it was sent.

    Iterating it reads from there as many bytes as were announced, even if the file has grown.
    """

    def __init__(self, file: Any, announced: int | None) -> None:
        self.file = file
        self._read = file.read
        self._start = file.tell()
        self._before = _state(file)
        self._length = _end(file) - self._start if announced is None else announced
        self._may_grow = announced is not None  # else the library has sent all there was

    def rewind(self) -> bool:
        try:
            left = _end(self.file) - self._start - self._length
            too_short = left < 0 and self._before is None
            if _state(self.file) != self._before or too_short or (left and not self._may_grow):
                return False
            self.file.seek(self._start)
            # Some system files claim to be empty, and are not.
            has_more = self._length == 0 and self._read(1)
            self.file.seek(self._start)
            return not has_more and bool(self.file.tell() == self._start)
        except Exception:  # noqa: BLE001 - whatever a user's object raises: no
            return False

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(self._start)
        left = self._length
        while left > 0 and (chunk := self._read(min(left, _BLOCK))):
            encoded = chunk.encode() if isinstance(chunk, str) else chunk  # as requests sends text
            yield encoded[:left]
            left -= len(encoded)


class Files(Body):
    """The files of a multipart body, each of which the library reads from its beginning to its end."""

    def __init__(self, files: Iterable[Any]) -> None:
        self._files = list(files)
        self._before = self._states()

    def rewind(self) -> bool:
        try:
            return self._before == self._states()
        except Exception:  # noqa: BLE001 - whatever a user's object raises: no
            return False

    def _states(self) -> list[object]:
        return [_state(file) or _end(file) for file in self._files]


def announced_length(headers: Mapping[str, Any]) -> int | None:
    """The length of a body in bytes, as its ``Content-Length`` says; None without one."""
    announced = str(headers.get("Content-Length", ""))
    return int(announced) if announced.isdecimal() else None


def body_of(content: Any, length: int | None) -> Body:
    """The kind of *content*, before it is sent.

    Args:
        content: The body as the user gave it.
        length: Bytes announced in ``Content-Length``, or None.
    """
    return IN_MEMORY if is_in_memory(content) else _made(File, content, length)


def files_of(files: Iterable[Any]) -> Body:
    """The kind of a multipart body with these *files*, before it is sent."""
    return _made(Files, files)


def is_in_memory(content: Any) -> bool:
    """Whether *content* can be sent any number of times."""
    if content is None or isinstance(content, (bytes, str, bytearray, memoryview, array)):
        return True
    return isinstance(content, (list, tuple)) and all(isinstance(one, bytes) for one in content)


def _made(kind: Callable[..., Body], *content: Any) -> Body:
    try:
        return kind(*content)
    except Exception:  # noqa: BLE001 - whatever a user's object raises: no
        return ONCE


def _state(file: Any) -> tuple[int, int] | None:
    """Size and modification time of what has a file descriptor, else None.

    Raises:
        Exception: of any type, if *file* cannot go back to where it is.
    """
    if hasattr(file, "seekable") and not file.seekable():
        raise io.UnsupportedOperation
    file.seek(file.tell())  # flushes what was written to it
    try:
        found = os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError, TypeError):
        return None
    return found.st_size, found.st_mtime_ns


def _end(file: Any) -> int:
    position = file.tell()
    try:
        return int(file.seek(0, io.SEEK_END) or file.tell())
    finally:
        file.seek(position)
