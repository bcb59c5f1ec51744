# How much of an answer is read, and for how long.
#
# Here: the bounds for what we read ourselves, a 401 and an answer of the token endpoint. Not here: reading
# (the adapters, each library has its own way), and answers that users read.

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

PIECE: Final = 1024  # bytes to be decoded at once: what is compressed may grow a thousandfold
_LONGEST: Final = 2**20  # bytes, decoded


def in_pieces(chunk: bytes) -> Iterator[bytes]:
    """What has come at once, in pieces that can be decoded without harm."""
    for start in range(0, len(chunk), PIECE):
        yield chunk[start : start + PIECE]


class Reading:
    """The pieces of one body, until it has become too long or has taken too long.

    Attributes:
        cut: Why it is not complete, as a text that continues "the answer is"; "" if nothing is known
            against it.
        error: What the library raised while it was read, or None.
    """

    def __init__(self, seconds: float) -> None:
        self.cut = ""
        self.error: Exception | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def takes(self, piece: bytes) -> bool:
        """Add a piece; whether another one is wanted."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > _LONGEST:
            self.cut = f"longer than {_LONGEST // 2**20} MiB"
        elif time.monotonic() > self._deadline:
            self.cut = f"not at its end after {self._seconds:g} seconds"
        return not self.cut

    @property
    def content(self) -> bytes:
        """What has come."""
        return b"".join(self._pieces)
