# How much of an answer is read, and for how long.
#
# Here: the bounds for what we read ourselves, a 401 and an answer of the token endpoint. Not here: reading
# (the adapters, each library has its own way), and answers that users read.

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from itertools import chain, takewhile
from typing import Final

PIECE: Final = 1024  # bytes to be decoded at once: what is compressed may grow a thousandfold
_LONGEST: Final = 2**20  # bytes, decoded


class Reading:
    """The pieces of one body, until it has become too long or has taken too long.

    What has come is in no variable when an exception goes through here: a token may be in it.

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

    def check_bounds(self) -> bool:
        """Whether nothing more is to be read. A body may come for ever and decode to nothing."""
        if self._size > _LONGEST:
            self.cut = f"longer than {_LONGEST // 2**20} MiB"
        elif time.monotonic() > self._deadline:
            self.cut = f"not at its end after {self._seconds:g} seconds"
        return bool(self.cut)

    def take(self, piece: bytes) -> bool:
        """Add what was decoded; whether more is wanted."""
        self._pieces.append(piece)
        self._size += len(piece)
        return not self.check_bounds()

    def take_all(self, pieces: Iterable[bytes]) -> None:
        """Add what was decoded, until it is over."""
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
        """What has come from the network, in pieces that can be decoded without harm, until it is over."""
        pieces = chain.from_iterable(map(_in_pieces, chunks))
        return takewhile(lambda _: not self.check_bounds(), pieces)

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
        """What has come."""
        return b"".join(self._pieces)


def _in_pieces(chunk: bytes) -> Iterator[bytes]:
    return (chunk[start : start + PIECE] for start in range(0, len(chunk), PIECE))
