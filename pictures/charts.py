# The charts of what the benchmarks measured: dots on a logarithmic axis, whiskers for the quartiles.
#
# Here: the figures that were measured last, what is shown of them, and the drawing. Not here: the measuring
# (`python -m benchmarks --svg`), and the colours of the dark files (_look).
#
# The same figures give the same files on every machine.

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from math import ceil, log
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from ._look import FONTS, WIDTH, write

_FIGURES: Final = "figures.json"
_OURS: Final = "thebase_auth"
# The others differ little from these; the benchmarks print them all.
_CROWDS: Final = ("requests", "threads"), ("httpx.AsyncClient", "tasks")
_LIBRARIES: Final = "requests", "httpx.Client"
_MOST_CALLERS: Final = 100  # that every contestant was tried with
_REMARKS: Final = {"hand-written function": "never sees a 401"}  # which is why it costs less

_STYLE: Final = f"""\
text{{font:18px {FONTS};fill:#1f2328;stroke:#ffffff;stroke-width:5px;paint-order:stroke}}
.title{{font-size:24px;font-weight:700}}
.strong{{font-weight:600}}
.small{{font-size:15px;font-weight:400;fill:#57606a}}
.end{{text-anchor:end}}
.middle{{text-anchor:middle}}
.page{{fill:#ffffff}}
.tick{{stroke:#d8dee4}}
.theirs path{{stroke:#6e7781;stroke-width:1.5}}
.theirs circle{{fill:#6e7781}}
.ours text{{fill:#0b62c4;font-weight:600}}
.ours path{{stroke:#0b62c4;stroke-width:1.5}}
.ours circle{{fill:#0b62c4}}"""
_EDGE: Final = 24
_START: Final = 240  # of an axis
_ROW: Final = 29


class Dot(NamedTuple):
    """A median between its quartiles, what is written beside it, and what ends its row."""

    spread: list[float]
    label: str
    last: str = ""


class Axis(NamedTuple):
    """A logarithmic one, from the first tick to the last, which is at *end*."""

    ticks: tuple[float, ...]
    end: int

    def x(self, value: float) -> float:
        """Where a value is."""
        first, last = self.ticks[0], self.ticks[-1]
        return round(_START + (self.end - _START) * log(value / first) / log(last / first), 1)


class Group(NamedTuple):
    """What was compared in one library; what is above the names, the dots and the ends of the rows."""

    heads: tuple[str, str, str]
    dots: dict[str, Dot]


def keep(name: str, figures: dict[str, Any], folder: Path) -> None:
    """Keep what was measured, to draw it today or another day."""
    path = folder / _FIGURES
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    text = json.dumps(kept | {name: figures}, indent=1, ensure_ascii=False)
    # a list of figures on one line
    path.write_text(re.sub(r"\s+(?=[^][{}]*\])", " ", text) + "\n", "utf-8")


def draw(folder: Path) -> None:
    """Draw what there are figures of."""
    figures = json.loads((folder / _FIGURES).read_text("utf-8"))
    for name, chart in (("herd", _herd), ("call-cost", _call_cost)):
        if name in figures:
            write(name, chart(**figures[name]), folder)


def _herd(measured: str, panels: dict[str, list[tuple[str, int, int, float]]]) -> str:
    most = max(callers for _, callers, *_ in panels[", ".join(_CROWDS[0])] if callers <= _MOST_CALLERS)
    groups = [
        Group(
            (library, f"token requests of {most} {who}", "all done in"),
            {
                name: Dot([token_requests] * 3, f"{token_requests}", f"{seconds:.2f} s")
                for name, callers, token_requests, seconds in panels[f"{library}, {who}"]
                if callers == most
            },
        )
        for library, who in _CROWDS
    ]
    note = (
        "In memory: a call takes 0.1 s, a token request too. Those who are done sooner go by the clock and"
        " do not try the old token, which saves a call. thebase_auth uses a token until it is refused, as"
        " TheBase asks. requests_auth makes one token request after another."
    )
    return _chart(
        f"{most} callers, one token request",
        f"What happens when {most} callers meet one expired token at once",
        Axis((1, 10, 100), 440),
        groups,
        (note, measured),
    )


def _call_cost(measured: str, panels: dict[str, list[tuple[str, float, float, float]]]) -> str:
    groups = [
        Group(
            (library, "microseconds a call", ""),
            {
                name: Dot([low, each, high], f"{each:.1f}{_small(_REMARKS.get(name, ''))}")
                for name, each, low, high in sorted(panels[library], key=itemgetter(1))
            },
        )
        for library in _LIBRARIES
    ]
    ours = [each for panel in panels.values() for name, each, *_ in panel if name == _OURS]
    note = (
        "Library code, no network; medians and quartiles. The least that can see a 401 is a constant header"
        " with a response hook in requests, and an Auth that sets one header in httpx. thebase_auth with"
        f" httpx.AsyncClient and httpx2: {min(ours[2:]):.2f} to {max(ours[2:]):.2f} µs."
    )
    return _chart(
        f"Signing a call takes less than {ceil(max(ours))} µs",
        "What an auth object does for a call, with a good token",
        Axis((0.5, 1, 2, 5, 10, 20), 510),
        groups,
        (note, measured),
    )


def _chart(title: str, subtitle: str, axis: Axis, groups: list[Group], notes: tuple[str, ...]) -> str:
    """Set all below each other: title, groups, ticks, notes."""
    parts = [_text(_EDGE, 44, title, "title"), _text(_EDGE, 70, subtitle, "small")]
    y = 80
    for (library, about, last), dots in groups:
        y += 36
        parts += [_line(axis, tick, y + 10, _ROW * len(dots)) for tick in axis.ticks]
        parts.append(_text(_EDGE, y, library, "strong"))
        parts += [_text(_START - 6, y, about, "small"), _text(WIDTH - _EDGE, y, last, "small end")]
        for name, dot in dots.items():
            y += _ROW
            parts += _row(axis, y, name, dot)
    y += 28
    parts += [_text(axis.x(tick), y, f"{tick:g}", "small middle") for tick in axis.ticks]
    y += 8
    for note in notes:
        y += 8
        for line in textwrap.wrap(re.sub(r" (?=\d)", "\N{NO-BREAK SPACE}", note), 70):
            y += 20
            parts.append(_text(_EDGE, y, line, "small"))
    y += 20
    size = f'width="{WIDTH}" height="{y}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" {size}>',
            f"<title>{title}</title>",
            f"<style>\n{_STYLE}\n</style>",
            f'<rect class="page" {size} rx="8"/>',
            *filter(None, parts),
            "</svg>\n",
        ]
    )


def _line(axis: Axis, tick: float, y: int, height: int) -> str:
    return f'<path class="tick" d="M{axis.x(tick)} {y}v{height}"/>'


def _row(axis: Axis, y: int, name: str, dot: Dot) -> Iterator[str]:
    low, middle, high = map(axis.x, dot.spread)
    yield f'<g class="{"ours" if name == _OURS else "theirs"}">'
    yield _text(_EDGE, y, name)
    if low < high:
        yield f'<path d="M{low} {y - 12}v12m0-6H{high}m0-6v12"/>'
    yield f'<circle cx="{middle}" cy="{y - 6}" r="4"/>'
    yield _text(max(high, middle + 6) + 6, y, dot.label)
    yield _text(WIDTH - _EDGE, y, dot.last, "end")
    yield "</g>"


def _small(text: str) -> str:
    return text and f'<tspan class="small" dx="8">{text}</tspan>'


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    named = kind and f' class="{kind}"'
    return text and f'<text{named} x="{x:g}" y="{y}">{text}</text>'
