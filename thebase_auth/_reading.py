# How much of an answer is read, and for how long.
#
# Here: the bounds for what we read ourselves: a 401, and an answer of the token endpoint. Not here: the
# reading itself (the adapters), and answers that users read.

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from itertools import chain, takewhile
from typing import Final

PIECE: Final = 1024  # bytes to decode at once; they may grow a thousandfold
_LONGEST: Final = 2**20  # bytes, decoded


class Reading:
    """The pieces of one body, until it is too long or has taken too long.

    No local variable keeps a piece while an exception goes through here: a token may be in it.

    Attributes:
        cut: Why the body is incomplete, as a text that continues "the answer is"; "" if it is not.
        error: What the library raised during the reading, or None.
    """

    def __init__(self, seconds: float) -> None:
        self.cut = ""
        self.error: Exception | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._has_begun = False
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def note_arrival(self) -> bool:
        """Note that something has come, and return whether to use it: the first always, others in time."""
        if self._has_begun and time.monotonic() > self._deadline:
            self.cut = f"not at its end after {self._seconds:g} seconds"
        self._has_begun = True
        return not self.cut

    def take(self, piece: bytes) -> bool:
        """Add a decoded piece, and return whether to go on."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > _LONGEST:
            self.cut = f"longer than {_LONGEST // 2**20} MiB"
        return not self.cut

    def take_all(self, pieces: Iterable[bytes]) -> None:
        """Add decoded pieces until it is time to stop."""
        for piece in pieces:
            wanted = self.take(piece)
            del piece
            if not wanted:
                return

    async def take_all_async(self, pieces: AsyncIterable[bytes]) -> None:
        """The same."""
        async for piece in pieces:
            wanted = self.take(piece)
            del piece
            if not wanted:
                return

    def pieces_of(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Cut what comes from the network into pieces that are safe to decode, until it is time to stop."""
        pieces = chain.from_iterable(map(_in_pieces, chunks))
        return takewhile(lambda _: self.note_arrival(), pieces)

    async def async_pieces_of(self, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """The same."""
        async for chunk in chunks:
            pieces = self.pieces_of((chunk,))
            del chunk
            while piece := next(pieces, b""):
                yield piece
            if self.cut:
                return

    @property
    def content(self) -> bytes:
        """What was read."""
        return b"".join(self._pieces)


def _in_pieces(chunk: bytes) -> Iterator[bytes]:
    return (chunk[start : start + PIECE] for start in range(0, len(chunk), PIECE))
