"""Ratios that hold on a busy machine.

All contestants take turns in many short rounds, beginning with another one each round, and each is
compared with the base of *its own* round. So what slows the machine down slows down both sides of a
ratio. The median of the ratios is printed, and their interquartile range as the spread.
"""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from statistics import median, quantiles
from typing import Self, TypeAlias, TypeVar

#: The contestant that has targets.
OURS = "thebase_auth"

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
    def of(cls, values: Sequence[float]) -> Self:
        if len(values) < 2:  # of which there are no quartiles
            return cls(values[0], values[0], values[0])
        return cls(*quantiles(values, n=4, method="inclusive"))

    def __str__(self) -> str:
        return f"{self.low:.2f} - {self.high:.2f}"


def contest(
    title: str, contestants: dict[str, Batch], *, target: float, rounds: int, calls: int
) -> list[tuple[str, float, float, float]]:
    """Time the contestants against the first of them, and print a table.

    Returns:
        Of each its name, and the microseconds of a call with their quartiles as far as ratios tell them.
    """
    seconds = _take_turns(contestants, rounds=rounds, calls=calls)
    base = seconds[next(iter(contestants))]
    rows, figures = [], []
    for name, mine in seconds.items():
        ratio, each = ratios(mine, base), median(mine) / calls * 1e6
        target_met = verdict(ratio, target, "x") if name == OURS else ""
        rows.append((name, f"{each:.2f}", f"{ratio.middle:.2f}", f"{ratio}", target_met))
        low, high = (each * edge / ratio.middle for edge in (ratio.low, ratio.high))
        figures.append((name, round(each, 2), round(low, 2), round(high, 2)))
    table(title, ("", "µs a call", "ratio", "spread", "target"), rows)
    return figures


def ratios(mine: list[float], base: list[float]) -> Spread:
    """What the rounds say of one to the other."""
    return Spread.of([one / other for one, other in zip(mine, base, strict=True)])


def verdict(measured: Spread, target: float, unit: str) -> str:
    """Say whether the target is met. A little too much says nothing as long as the rounds disagree."""
    missed = "within the spread" if measured.low <= target else "MISSED"
    return f"at most {target:g} {unit}: {'ok' if measured.middle <= target else missed}"


def table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table, the first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print(f"\n{title}")
    for row in [head, *rows]:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(["", first, *others]).rstrip(), flush=True)


def machine_and_versions() -> str:
    """What a figure is of."""
    libraries = [f"{name} {metadata.version(name)}" for name in ("requests", "httpx", "httpx2")]
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    return f"Python {platform.python_version()}, {machine}; {', '.join(libraries)}"


def _take_turns(contestants: dict[str, Batch], *, rounds: int, calls: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = [*contestants]
    gc.collect()
    gc.disable()
    try:
        for turn in range(-1, rounds):  # the first round warms up and does not count
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                took = contestants[name](calls)
                if turn >= 0:
                    seconds[name].append(took)
            gc.collect()
    finally:
        gc.enable()
    return seconds
