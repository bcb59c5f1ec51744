"""An answer is read up to a size and for a time; what is cut says why."""

from __future__ import annotations

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


@pytest.mark.parametrize(("seconds", "said"), [(5, "5"), (0.25, "0.25"), (30.0, "30")])
def test_a_body_is_read_until_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, seconds: float, said: str
) -> None:
    clock = Clock()
    monkeypatch.setattr("thebase_auth._reading.time", clock)
    reading = Reading(seconds)
    clock.now += seconds
    assert reading.take(b"in time")

    clock.now += 0.125
    assert not reading.take(b", late")
    assert reading.cut == f"not at its end after {said} seconds"
    assert reading.content == b"in time, late"
