# Whether a request's body can be sent again.
#
# The rule: the body first sent, or none. An exhausted iterator and a file that was read to its end are
# silently empty the second time. So a file is sent again only from its first position, and only if the
# length from there is what was announced. What is neither in memory nor such a file is sent once, and
# never read.

from __future__ import annotations

import io
from array import array
from typing import Any, Final

#: A server may close the connection before it has read a longer body, and its 401 is lost. A 401 with a
#: longer body is closed unread.
LARGE: Final = 2**20  # bytes


def is_in_memory(content: object) -> bool:
    """Return whether *content* can be sent any number of times."""
    if content is None or isinstance(content, (bytes, str, bytearray, memoryview, array)):
        return True
    return isinstance(content, (list, tuple)) and all(isinstance(part, bytes) for part in content)


def announced_length(headers: Any) -> int | None:
    """Return the ``Content-Length`` in *headers*, in bytes; None without one."""
    value = headers.get("Content-Length", "")
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return int(text) if text.isdecimal() and len(text) < 20 else None


def position_of(file: Any) -> int | None:
    """Return the position of a file object, in bytes; None if it has none."""
    if not hasattr(file, "tell") or hasattr(file, "__aiter__"):
        return None
    try:
        return int(file.tell())
    except Exception:  # noqa: BLE001 - whatever a user's object raises: it has none
        return None


def is_seekable(file: Any) -> bool:
    """Return whether a file object can go back."""
    try:
        file.seek(file.tell())
    except Exception:  # noqa: BLE001 - whatever a user's object raises: it cannot
        return False
    return True


def rewind(file: Any, start: int | None, length: int | None) -> bool:
    """Move *file* back to where it was before it was sent.

    Args:
        file: The file object.
        start: Its position before it was sent, in bytes; None if it had none.
        length: How many bytes of it were announced; None if none were.

    Returns:
        Whether exactly *length* bytes follow *start*. If not, the file is left where it was.
    """
    if start is None or length is None:
        return False
    try:
        before = file.tell()
        file.seek(0, io.SEEK_END)
        is_same_length = file.tell() - start == length
        file.seek(start if is_same_length else before)
        return is_same_length and bool(file.tell() == start)
    except Exception:  # noqa: BLE001 - whatever a user's object raises: it cannot
        return False
