"""The pictures of the README, drawn from what has just been measured.

SVG, on white in the light theme and in the dark one, whose text stays text. The same figures give the
same file; only the day that is in the small print changes.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from ._timing import Spread

if TYPE_CHECKING:
    from .herd import Measured

_OURS = "thebase_auth"
_BARE = "bare"
_BLUE, _GREY, _DARK = "#0b62c4", "#b4bcc6", "#22272e"
# Of the peers, wherever there are lines, by the beginnings of their names.
_PEERS = {
    "google-auth": ("#c2571a", "s"),
    "hand-written": ("#2f8f5b", "^"),
    "requests_auth": ("#8b5bb5", "D"),
    "httpx_auth": ("#8b5bb5", "D"),  # by the same author, and much alike
    "requests-oauth2client": ("#b08a00", "v"),
    "Authlib": ("#7a7f87", "P"),
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "thebase_auth",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 10,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.color": _DARK,
    "axes.edgecolor": "#8a919b",
    "axes.labelcolor": _DARK,
    "xtick.color": _DARK,
    "ytick.color": _DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def call_cost(panels: dict[str, dict[str, Spread]], path: Path) -> None:
    """Bars of the ratios to the first of each panel."""
    with mpl.rc_context(_STYLE):
        heights = [len(measured) - 1 for measured in panels.values()]
        figure, axes = plt.subplots(
            len(panels),
            figsize=(8, 1.5 + 0.27 * sum(heights) + 0.62 * len(panels)),
            sharex=True,
            gridspec_kw={"height_ratios": [height + 0.4 for height in heights]},
            squeeze=False,
            layout="constrained",
        )
        for axis, (title, measured) in zip(axes[:, 0], panels.items(), strict=True):
            _bars(axis, title, measured)
        axes[-1, 0].set_xlabel("times the cost of a header that never changes, in the same library")
        _finish(
            figure,
            "What it costs to sign one call, with a good token",
            "Library code alone, no network. Median of the ratios of many rounds, and their quartiles."
            " Shorter is better.",
            path,
        )


def _bars(axis: Any, title: str, measured: dict[str, Spread]) -> None:
    base, *others = measured
    ordered = sorted(others, key=lambda name: measured[name].middle, reverse=True)
    for row, name in enumerate(ordered):
        ratio = measured[name]
        ours = name == _OURS
        axis.barh(row, ratio.middle, height=0.7, color=_BLUE if ours else _GREY)
        axis.plot([ratio.low, ratio.high], [row, row], color=_DARK, linewidth=1.2)
        axis.annotate(
            f"{ratio.middle:.2f}" if ratio.middle < 10 else f"{ratio.middle:.1f}",
            (max(ratio.high, ratio.middle), row),
            xytext=(5, 0),
            textcoords="offset points",
            verticalalignment="center",
            fontweight="bold" if ours else "normal",
        )
    axis.set_yticks(range(len(ordered)), ordered)
    for label in axis.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == _OURS else "normal")
    axis.axvline(1, color=_DARK, linewidth=0.8, linestyle=":")
    axis.set_xscale("log")
    axis.set_xlim(0.5, 40)
    axis.xaxis.set_major_locator(FixedLocator([0.5, 1, 2, 5, 10, 20]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} x"))
    axis.tick_params(length=0)
    axis.set_title(f"{title.partition(', auth alone')[0]} (1 x: {base})", loc="left", fontsize=10)


def herd(panels: dict[str, list[Measured]], ideal: float, path: Path) -> None:
    """Above the token requests, below the seconds, by the number of callers; a column a library."""
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(
            2, len(panels), figsize=(4 * len(panels), 6.6), sharey="row", squeeze=False,
            layout="constrained",
        )  # fmt: skip
        for column, (title, measured) in enumerate(panels.items()):
            above, below = axes[:, column]
            above.set_title(title, fontsize=11)
            for name in _names(measured):
                points = [one for one in measured if one.name == name]
                callers = [one.callers for one in points]
                line = _line_of(name)
                if name != _BARE:
                    above.plot(callers, [one.token_requests for one in points], **line)
                spreads = [Spread.of(one.seconds) for one in points]
                below.plot(callers, [one.middle for one in spreads], **line)
                if name == _OURS:
                    edges = [one.low for one in spreads], [one.high for one in spreads]
                    below.fill_between(callers, *edges, color=_BLUE, alpha=0.2, linewidth=0)
            below.axhline(ideal, color=_DARK, linewidth=0.8, linestyle=":", label="ideal")
            _say_who(above, measured)
            _callers_below(above, measured)
            _callers_below(below, measured)
            below.set_xlabel("callers")
            legend = below.get_legend_handles_labels()
            below.legend(
                *(one[-2:-1] + one[:-2] + one[-1:] for one in legend),  # ours first
                loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2,
                frameon=False, fontsize=8.5,
            )  # fmt: skip
        for axis, name in (
            (axes[0, 0], "token requests"),
            (axes[1, 0], "seconds until all are done"),
        ):
            axis.set_ylabel(name)
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1,) if "token" in name else (1, 2, 5)))
            axis.yaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
        _finish(
            figure,
            "Many callers meet one expired token at once",
            f"In memory: each call and each token request takes 100 ms, so {ideal * 1000:.0f} ms is the"
            " ideal of a call refused, a token fetched, the call again.\nWho goes by the clock does not"
            " try the old token, which here is over by the clock as well, and saves one of the three. Bare:"
            " the same calls without any renewal.",
            path,
        )


def _say_who(axis: Any, measured: Iterable[Measured]) -> None:
    """Name those whose lines lie upon each other: who makes many token requests, and who one."""
    most = {one.name: one for one in measured if one.name != _BARE}
    many = [name for name, one in most.items() if one.token_requests > 1]
    one_for_all = [name for name in most if name not in many]
    for x, y, side, label, names in (
        (0.04, 0.97, ("left", "top"), "many:", many),
        (0.97, 0.14, ("right", "bottom"), "one for all:", one_for_all),
    ):
        if names:
            text = axis.text(x, y, "\n".join([label, *names]), transform=axis.transAxes, fontsize=8.5)
            text.set(horizontalalignment=side[0], verticalalignment=side[1])


def _names(measured: Iterable[Measured]) -> list[str]:
    """Ours is drawn last, over the others."""
    names = dict.fromkeys(one.name for one in measured)
    return [*(name for name in names if name != _OURS), _OURS]


def _line_of(name: str) -> dict[str, Any]:
    if name == _OURS:
        return {"label": name, "color": _BLUE, "linewidth": 2.6, "marker": "o", "markersize": 6}
    if name == _BARE:
        return {"label": name, "color": _DARK, "linewidth": 1.2, "linestyle": "--"}
    colour, marker = next(look for peer, look in _PEERS.items() if name.startswith(peer))
    return {"label": name, "color": colour, "linewidth": 1.3, "marker": marker, "markersize": 4.5}


def _callers_below(axis: Any, measured: Iterable[Measured]) -> None:
    sizes = sorted({one.callers for one in measured})
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(sizes))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.grid(visible=True, axis="y", color="#e4e7eb", linewidth=0.8)
    axis.set_axisbelow(True)


def _finish(figure: Any, title: str, explanation: str, path: Path) -> None:
    figure.suptitle(title, fontsize=13, fontweight="bold")
    figure.supxlabel(f"{explanation}\n{_small_print()}", fontsize=7.5, color="#57606a")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(f"\ndrawn: {path}")


def _small_print() -> str:
    versions = [
        f"{name} {version}"
        for name in ("requests", "httpx", "httpx2")
        if (version := _version(name)) is not None
    ]
    return (
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()},"
        f" {os.cpu_count()} CPUs; {', '.join(versions)}; {datetime.now(UTC):%Y-%m-%d}"
    )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
