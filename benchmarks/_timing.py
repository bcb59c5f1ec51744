"""Ratios that hold on a busy machine.

All contestants take turns in many short rounds, beginning with another one each round, and each is
compared with the base of *its own* round. So what slows the machine down slows down both sides of a
ratio. The median of the ratios is printed, and their interquartile range as the spread.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from statistics import median, quantiles
from typing import Self, TypeAlias, TypeVar

#: Makes so many calls, and says how many seconds they took.
Batch: TypeAlias = Callable[[int], float]

_Value = TypeVar("_Value")


class Effort(Enum):
    """How much is measured: all, enough for a look, or the least that shows that it runs at all."""

    FULL = 0
    QUICK = 1
    LEAST = 2

    def pick(self, *values: _Value) -> _Value:
        """The value for this effort, of one for each."""
        return values[self.value]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the quartiles on either side of it."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Self:
        if len(values) < 2:  # of which there are no quartiles
            return cls(values[0], values[0], values[0])
        return cls(*quantiles(values, n=4, method="inclusive"))

    def __str__(self) -> str:
        return f"{self.low:.2f} - {self.high:.2f}"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One of those compared; ``batch`` is None if it is not installed, ``target`` a ratio."""

    name: str
    batch: Batch | None
    target: float | None = None


def contest(title: str, contestants: Iterable[Contestant], *, rounds: int, calls: int) -> dict[str, Spread]:
    """Time the contestants against the first of them, and print a table; the ratios by name."""
    everyone = list(contestants)
    seconds = _take_turns([one for one in everyone if one.batch], rounds=rounds, calls=calls)
    base = seconds[everyone[0].name]
    rows: list[tuple[str, ...]] = []
    measured: dict[str, Spread] = {}
    for one in everyone:
        if one.batch is None:
            rows.append((one.name, "not installed", "", "", ""))
            continue
        ratio = measured[one.name] = ratios(seconds[one.name], base)
        rows.append(
            (
                one.name,
                f"{median(seconds[one.name]) / calls * 1e6:.2f}",
                f"{ratio.middle:.2f}",
                f"{ratio}",
                "" if one.target is None else _verdict(ratio, one.target),
            )
        )
    table(title, ("", "µs a call", "ratio", "spread", "target"), rows)
    return measured


def ratios(mine: list[float], base: list[float]) -> Spread:
    """What the rounds say of one to the other."""
    return Spread.of([one / other for one, other in zip(mine, base, strict=True)])


def verdict(value: float, target: float, unit: str) -> str:
    """Say whether *value* keeps within *target*."""
    return f"at most {target:g} {unit}: {'ok' if value <= target else 'MISSED'}"


def _verdict(ratio: Spread, target: float) -> str:
    """The same for a ratio, of which a hundredth too much says nothing as long as the rounds disagree."""
    if ratio.low <= target < ratio.middle:
        return f"at most {target:g} x: within the spread"
    return verdict(ratio.middle, target, "x")


def distribution(seconds: list[float]) -> tuple[str, str, str]:
    """Median, 90th percentile and longest, for a table."""
    if not seconds:
        return "", "", ""
    ninety = quantiles([*seconds, *seconds], n=10, method="inclusive")[-1]  # of a single one, too
    return f"{median(seconds):.3f} s", f"{ninety:.3f} s", f"{max(seconds):.3f} s"


def table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table, the first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print(f"\n{title}")
    for row in [head, *rows]:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(["", first, *others]).rstrip(), flush=True)


def _take_turns(contestants: list[Contestant], *, rounds: int, calls: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {one.name: [] for one in contestants}
    gc.collect()
    gc.disable()
    try:
        for turn in range(-1, rounds):  # the first round warms up and does not count
            first = turn % len(contestants)
            for one in contestants[first:] + contestants[:first]:
                assert one.batch is not None
                took = one.batch(calls)
                if turn >= 0:
                    seconds[one.name].append(took)
            gc.collect()
    finally:
        gc.enable()
    return seconds
