"""Ratios that hold on a busy machine, and the tables of the page.

All contestants take turns in many short rounds, and each is compared with the first one in *its own* round.
So what slows the machine down slows down both sides of a ratio.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import TypeAlias

#: Makes so many calls, and returns how many seconds they took.
Batch: TypeAlias = Callable[[int], float]


def contest(form: str, contestants: dict[str, Batch], *, rounds: int, calls: int) -> list[tuple[str, ...]]:
    """Return a row for each contestant: microseconds per call, and the ratio to the first contestant."""
    seconds = _take_turns(contestants, rounds=rounds, calls=calls)
    base = next(iter(seconds.values()))
    return [
        (form, name, f"{median(mine) / calls * 1e6:.2f}", *ratio_and_spread(mine, base))
        for name, mine in seconds.items()
    ]


def ratio_and_spread(mine: Sequence[float], base: Sequence[float]) -> tuple[str, str]:
    """Return the median of the ratios, round by round, and their quartiles."""
    ratios = [one / other for one, other in zip(mine, base, strict=True)]
    low, middle, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return f"{middle:.2f}", f"{low:.2f} to {high:.2f}"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    rule = ["---"] * len(head)
    widths = [max(map(len, column)) for column in zip(head, rule, *rows, strict=True)]
    print()
    for row in (head, rule, *rows):
        print(f"| {' | '.join(map(str.ljust, row, widths))} |", flush=True)


def _take_turns(contestants: dict[str, Batch], *, rounds: int, calls: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = [*contestants]
    gc.collect()
    gc.disable()
    try:
        for turn in range(-1, rounds):  # the first round warms up and does not count
            first = turn % len(names)  # each round, another one begins
            for name in names[first:] + names[:first]:
                took = contestants[name](calls)
                if turn >= 0:
                    seconds[name].append(took)
            gc.collect()
    finally:
        gc.enable()
    return seconds
