"""Ratios that hold on a busy machine.

All contestants take turns in many short rounds, beginning with another one each round, and each is
compared with the base of *its own* round. So what slows the machine down slows down both sides of a
ratio. The median of the ratios is printed, and their interquartile range as the spread.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeAlias

#: Makes so many calls, and says how many seconds they took.
Batch: TypeAlias = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One of those compared; ``batch`` is None if it is not installed, ``target`` a ratio."""

    name: str
    batch: Batch | None
    target: float | None = None


def contest(title: str, contestants: Iterable[Contestant], *, rounds: int, calls: int) -> None:
    """Time the contestants against the first of them, and print a table."""
    everyone = list(contestants)
    seconds = _take_turns([one for one in everyone if one.batch], rounds=rounds, calls=calls)
    base = seconds[everyone[0].name]
    rows: list[tuple[str, ...]] = []
    for one in everyone:
        if one.batch is None:
            rows.append((one.name, "not installed", "", "", ""))
            continue
        ratios = [mine / its for mine, its in zip(seconds[one.name], base, strict=True)]
        low, middle, high = quantiles(ratios, n=4)
        rows.append(
            (
                one.name,
                f"{median(seconds[one.name]) / calls * 1e6:.2f}",
                f"{middle:.2f}",
                f"{low:.2f} - {high:.2f}",
                "" if one.target is None else verdict(middle, one.target, "x"),
            )
        )
    table(title, ("", "µs a call", "ratio", "spread", "target"), rows)


def verdict(value: float, target: float, unit: str) -> str:
    """Say whether *value* keeps within *target*."""
    return f"at most {target:g} {unit}: {'ok' if value <= target else 'MISSED'}"


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


def _take_turns(
    contestants: list[Contestant], *, rounds: int, calls: int
) -> dict[str, list[float]]:
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
