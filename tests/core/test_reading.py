"""An answer is read up to a size and for a time; what is cut says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clock import Clock
from thebase_auth._reading import PIECE, Reading

MIB = 2**20


@pytest.mark.parametrize("length", [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 7])
def test_what_comes_at_once_is_cut_into_small_pieces(length: int) -> None:
    chunk = bytes(number % 251 for number in range(length))
    pieces = list(Reading(30).pieces_of([chunk]))

    assert b"".join(pieces) == chunk
    assert all(0 < len(piece) <= PIECE for piece in pieces)


def test_a_body_within_the_bounds_is_complete() -> None:
    reading = Reading(30)

    assert all(reading.take(piece) for piece in [b"one", b"", b" two"])
    assert (reading.content, reading.cut, reading.error) == (b"one two", "", None)


def test_a_body_is_read_up_to_a_mebibyte() -> None:
    reading = Reading(30)
    assert reading.take(b"x" * (MIB - 1))
    assert reading.take(b"x")
    assert reading.cut == ""

    assert not reading.take(b"x")
    assert reading.cut == "longer than 1 MiB"


def test_a_compressed_body_is_known_to_be_too_long_soon_after_it_is() -> None:
    reading = Reading(30)
    grown = b"x" * (1000 * PIECE)  # what one piece may become

    assert [reading.take(grown) for _ in range(2)] == [True, False]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("thebase_auth._reading.time", clock)
    return clock


@pytest.mark.parametrize(("seconds", "said"), [(5, "5"), (0.25, "0.25"), (30.0, "30")])
def test_a_body_is_read_until_its_time_is_over(clock: Clock, seconds: float, said: str) -> None:
    reading = Reading(seconds)
    assert reading.note_arrival()
    clock.now += seconds
    assert reading.note_arrival()

    clock.now += 0.125
    assert not reading.note_arrival()
    assert reading.cut == f"not at its end after {said} seconds"


def test_what_comes_at_once_is_complete_however_late_it_comes(clock: Clock) -> None:
    reading = Reading(1e-6)
    clock.now += 1
    reading.take_all(reading.pieces_of([b"all of it"]))

    assert (reading.content, reading.cut) == (b"all of it", "")


def test_a_body_that_decodes_to_nothing_is_read_until_its_time_is_over(clock: Clock) -> None:
    def nothing() -> Iterator[bytes]:
        while True:
            clock.now += 1
            yield b"x"

    reading = Reading(5)
    reading.take_all(b"" for _ in reading.pieces_of(nothing()))

    assert (reading.content, reading.cut) == (b"", "not at its end after 5 seconds")
