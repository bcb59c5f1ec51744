"""The pictures of the README, drawn from what has just been measured.

SVG, on white in the light theme and in the dark one, whose text stays text. The same figures give the
same file; only the day that is in the small print changes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from ._timing import OURS, Spread, machine_and_versions
from .herd import BARE, IDEAL, Measured

_BLUE, _GREY, _DARK = "#0b62c4", "#b4bcc6", "#22272e"
# Of the others the colours are in _STYLE.
_LOOKS: dict[str, dict[str, Any]] = {
    OURS: {"color": _BLUE, "linewidth": 2.6, "marker": "o", "markersize": 6, "zorder": 3},
    BARE: {"color": _DARK, "linewidth": 1.2, "marker": "", "linestyle": "--"},
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "thebase_auth",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "text.color": _DARK,
    "axes.labelcolor": _DARK,
    "xtick.color": _DARK,
    "ytick.color": _DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(
        color=["#2f8f5b", "#8b5bb5", "#b08a00", "#7a7f87", "#c2571a"], marker=["^", "D", "v", "P", "s"]
    ),
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
}


def call_cost(panels: dict[str, dict[str, Spread]], path: Path) -> None:
    """Bars of the ratios to the first of each panel."""
    with mpl.rc_context(_STYLE):
        heights = [len(measured) - 0.6 for measured in panels.values()]
        figure, axes = plt.subplots(
            len(panels),
            figsize=(8, 1.5 + 0.27 * sum(heights) + 0.5 * len(panels)),
            sharex=True,
            gridspec_kw={"height_ratios": heights},
            layout="constrained",
        )
        for axis, (title, measured) in zip(axes, panels.items(), strict=True):
            _bars(axis, title, measured)
        axes[-1].set_xlabel("times the cost of the least that an auth can do, in the same library")
        _finish(
            figure,
            "What it costs to sign one call, with a good token",
            "Library code alone, no network. Median of the ratios of many rounds, and their quartiles."
            " Shorter is better.",
            path,
        )


def _bars(axis: Any, title: str, measured: dict[str, Spread]) -> None:
    base, *others = measured
    others.sort(key=lambda name: measured[name].middle, reverse=True)
    for row, name in enumerate(others):
        ratio = measured[name]
        axis.barh(row, ratio.middle, height=0.7, color=_BLUE if name == OURS else _GREY)
        axis.plot([ratio.low, ratio.high], [row, row], color=_DARK, linewidth=1.2)
        axis.annotate(
            f"{ratio.middle:.2f}",
            (ratio.high, row),
            xytext=(5, 0),
            textcoords="offset points",
            verticalalignment="center",
        )
    axis.set_yticks(range(len(others)), others)
    axis.axvline(1, color=_DARK, linewidth=0.8, linestyle=":")
    axis.set_xscale("log")
    axis.set_xlim(0.3, 40)
    _ticks(axis.xaxis, FixedLocator([0.5, 1, 2, 5, 10, 20]), "{:g} x")
    axis.tick_params(length=0)
    axis.set_title(f"{title} (1 x: {base})", loc="left", fontsize=10)


def herd(panels: dict[str, list[Measured]], path: Path) -> None:
    """Above the token requests, below the seconds, by the number of callers; a column a library."""
    with mpl.rc_context(_STYLE):
        size = (4 * len(panels), 6.6)
        figure, axes = plt.subplots(2, len(panels), figsize=size, sharey="row", layout="constrained")
        for (above, below), (title, measured) in zip(axes.T, panels.items(), strict=True):
            above.set_title(title, fontsize=11)
            _lines(above, below, measured)
            below.set_xlabel("callers")
            below.legend(
                loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, frameon=False, fontsize=8.5
            )
            for axis in (above, below):
                axis.set_xscale("log")
                _ticks(axis.xaxis, FixedLocator(sorted({one.callers for one in measured})), "{:,.0f}")
                axis.grid(visible=True, axis="y", color="#e4e7eb", linewidth=0.8)
        for axis, name, steps in (
            (axes[0, 0], "token requests", (1,)),
            (axes[1, 0], "seconds until all are done", (1, 2, 5)),
        ):
            axis.set_ylabel(name)
            axis.set_yscale("log")
            _ticks(axis.yaxis, LogLocator(subs=steps), "{:,.4g}")
        _finish(
            figure,
            "Many callers meet one expired token at once",
            f"In memory: each call and each token request takes 100 ms, so {IDEAL * 1000:.0f} ms is the"
            " ideal of a call refused, a token fetched, the call again.\nWho goes by the clock does not"
            " try the old token, which here is over by the clock as well, and saves one of the three. Bare:"
            " the same calls without any renewal.",
            path,
        )


def _lines(above: Any, below: Any, measured: list[Measured]) -> None:
    # Where lines lie upon each other, ours is seen, and the others are named.
    many, one_for_all = ["many:"], ["one for all:"]
    for name in dict.fromkeys(one.name for one in measured):
        points = [one for one in measured if one.name == name]
        callers = [one.callers for one in points]
        spreads = [Spread.of(one.seconds) for one in points]
        look = _LOOKS.get(name, {})
        below.plot(callers, [one.middle for one in spreads], label=name, **look)
        if name == OURS:
            edges = [one.low for one in spreads], [one.high for one in spreads]
            below.fill_between(callers, *edges, color=_BLUE, alpha=0.2, linewidth=0)
        if name != BARE:
            above.plot(callers, [one.token_requests for one in points], **look)
            (many if points[-1].token_requests > 1 else one_for_all).append(name)
    below.axhline(IDEAL, color=_DARK, linewidth=0.8, linestyle=":", label="ideal")
    corners = {"horizontalalignment": "left", "verticalalignment": "top", "fontsize": 8.5}
    above.text(0.04, 0.97, "\n".join(many), transform=above.transAxes, **corners)
    corners |= {"horizontalalignment": "right", "verticalalignment": "bottom"}
    above.text(0.97, 0.14, "\n".join(one_for_all), transform=above.transAxes, **corners)


def _ticks(axis: Any, where: Any, label: str) -> None:
    axis.set_major_locator(where)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: label.format(value)))


def _finish(figure: Any, title: str, explanation: str, path: Path) -> None:
    figure.suptitle(title, fontsize=13, fontweight="bold")
    small_print = f"{machine_and_versions()}; {datetime.now(UTC):%Y-%m-%d}"
    figure.supxlabel(f"{explanation}\n{small_print}", fontsize=7.5, color="#57606a")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(f"\ndrawn: {path}")
