# A recording of a program in a terminal, as an SVG that moves by CSS alone.
#
# Here: running the program, what its terminal shows when, and the drawing. Not here: which program
# (__main__). Terminals are those of POSIX; escape sequences are understood by pyte.
#
# Long pauses are made short and short ones longer, and then all of it takes the time that it is given. Who
# wants reduced motion sees how it ends, and so does who looks with a program that knows no animations.

from __future__ import annotations

import os
import pty
import re
import subprocess
import termios
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias
from xml.sax.saxutils import escape

import pyte

from ._look import WIDTH

_SECONDS: Final = 12.0  # until it begins anew
_LAST: Final = 3.5  # of them, for the end
# Seconds, before the whole is stretched:
_KEY: Final = 0.06  # to type a key
_LINE: Final = 0.1  # between two lines, at least
_CHANGE: Final = 0.008  # between two states of one line, such as a progress bar, at least
_LONGEST: Final = 0.8  # between two steps, at most
_FRAME: Final = 0.09  # what is replaced sooner is left out
_MANY: Final = 200  # lines, so that none scrolls away

_EDGE: Final = 18  # units
_BAR: Final = 36  # above the text
_FONTS: Final = 'ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace'
_NOT_PASSED: Final = {"COLUMNS", "LINES", "NO_COLOR"}
_COLOURS: Final = {
    "default": "#dfe5ec",
    "black": "#8b949e",
    "red": "#ff7b72",
    "green": "#56d364",
    "brown": "#e3b341",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "bfightmagenta": "#d2a8ff",  # pyte's name of the bright one
    "cyan": "#76e3ea",
    "white": "#ffffff",
}


class Run(NamedTuple):
    """Some text in one colour, and the columns that it takes."""

    text: str
    column: int
    columns: int
    colour: str
    is_bold: bool


Row: TypeAlias = tuple[Run, ...]


class Frame(NamedTuple):
    """What the terminal shows from a moment on, in seconds."""

    start: float
    rows: list[Row]


def record(command: Sequence[str], typed: str, *, columns: int = 60, lines: int = 20) -> str:
    """Run a command, and draw its terminal as if the text *typed* had begun it.

    Raises:
        CalledProcessError: if the command fails.
    """
    screen = pyte.Screen(columns, _MANY)
    stream = pyte.ByteStream(screen)
    frames: list[Frame] = []
    now = 0.0
    for pause, data in _steps(command, typed, columns):
        now += pause
        stream.feed(data)
        start = frames.pop().start if frames and now - frames[-1].start < _FRAME else now
        frames.append(Frame(start, [_row(screen, line) for line in range(_MANY)]))
    stretch = (_SECONDS - _LAST) / now
    return _svg([Frame(start * stretch, rows) for start, rows in frames], typed, columns, lines)


def _steps(command: Sequence[str], typed: str, columns: int) -> Iterator[tuple[float, bytes]]:
    """What comes to the terminal, a line or a key at a time, and the pause before it."""
    yield 0, b"\x1b[1;32m$\x1b[0m "
    for key in typed:
        yield _KEY, key.encode()
    before, part = time.monotonic(), b"\r\n"
    yield _LONGEST, part
    for moment, data in _output(command, columns):
        for new in re.findall(rb"[^\r\n]*(?:\r?\n|\r)|[^\r\n]+", data):
            shortest = _LINE if part.endswith(b"\n") else _CHANGE
            yield min(max(moment - before, shortest), _LONGEST), new
            before, part = moment, new


def _output(command: Sequence[str], columns: int) -> Iterator[tuple[float, bytes]]:
    """What a command writes to its terminal, and when."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (_MANY, columns))
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
    environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        while data := _read(ours):
            yield time.monotonic(), data
    os.close(ours)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 2**16)
    except OSError:  # so Linux says that nobody writes any more
        return b""


def _row(screen: pyte.Screen, line: int) -> Row:
    """The texts of a line, apart where two spaces or more are between them."""
    cells = [screen.buffer[line][column] for column in range(screen.columns)]
    blank = [True, *(cell.data == " " for cell in cells), True]

    def look(column: int) -> tuple[bool, str, bool]:
        is_gap = blank[column + 1] and (blank[column] or blank[column + 2])
        return is_gap, cells[column].fg, cells[column].bold

    runs = []
    for (is_gap, colour, is_bold), group in groupby(range(len(cells)), look):
        taken = [*group]
        text = "".join(cells[column].data for column in taken)
        before, after = len(text) - len(text.lstrip()), len(text) - len(text.rstrip())
        if not is_gap and text.strip():
            shown = _COLOURS.get(colour.removeprefix("bright"), f"#{colour}")
            columns = len(taken) - before - after
            runs.append(Run(text.strip(), taken[0] + before, columns, shown, is_bold))
    return tuple(runs)


def _svg(frames: list[Frame], title: str, columns: int, lines: int) -> str:
    """Draw every text that is ever shown, each with the times at which it is."""
    cell = (WIDTH - 2 * _EDGE) / columns
    size = cell / 0.6  # as wide as monospaced letters are
    pitch = round(size * 1.45)
    used = [max((line for line, row in enumerate(rows, start=1) if row), default=0) for _, rows in frames]
    height = min(lines, max(used)) * pitch
    names: dict[str, str] = {}

    def moving(states: Iterable[str], inside: str) -> str:
        """A group that is in the last of these states, and in all of them, one a frame, if it moves."""
        steps = [next(group) for _, group in groupby(zip(states, frames, strict=True), itemgetter(0))]
        keyframes = "".join(f"{100 * frame.start / _SECONDS:.1f}%{{{state}}}" for state, frame in steps)
        name = names.setdefault(keyframes, f"m{len(names)}") if len(steps) > 1 else ""
        return f'<g class="{name}" style="{steps[-1][0]}">{inside}</g>'

    texts = []
    for line in range(max(used)):
        for row in dict.fromkeys(frame.rows[line] for frame in frames):
            inside = "".join(_text(run, cell, (line + 1) * pitch - size * 0.4) for run in row)
            states = (f"opacity:{int(frame.rows[line] == row)}" for frame in frames)
            texts += [moving(states, inside)] if row else []
    scrolled = [
        f"transform:translateY({min(0, height - count * pitch)}px)" for count in accumulate(used, max)
    ]
    terminal = moving(scrolled, "\n".join(texts))
    motions = "\n".join(
        f"@keyframes {name}{{{keyframes}}}.{name}{{animation-name:{name}}}"
        for keyframes, name in names.items()
    )
    whole = _BAR + height + _EDGE
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" width="{WIDTH}" height="{whole}">
<title>{escape(title)}</title>
<style>
text{{font:{size:.1f}px {_FONTS};fill:{_COLOURS["default"]}}}
.bold{{font-weight:700}}
@media (prefers-reduced-motion:no-preference){{
g{{animation:{_SECONDS}s step-end infinite}}
{motions}
}}
</style>
<rect width="{WIDTH}" height="{whole}" rx="8" fill="#161b22"/>
<path d="M24 19h0m20 0h0m20 0h0" stroke="#484f58" stroke-width="12" stroke-linecap="round"/>
<svg x="{_EDGE}" y="{_BAR}" width="{WIDTH - 2 * _EDGE}" height="{height}">
{terminal}
</svg>
</svg>
"""


def _text(run: Run, cell: float, y: float) -> str:
    is_left_to_right = all(unicodedata.bidirectional(letter) not in {"R", "AL"} for letter in run.text)
    # as wide as its columns, in whatever font; but the letters of Hebrew come from another one
    length = f' textLength="{run.columns * cell:.1f}"' if is_left_to_right else ""
    look = ' class="bold"' if run.is_bold else ""
    if run.colour != _COLOURS["default"]:
        look += f' style="fill:{run.colour}"'
    x = f"{run.column * cell:.1f}"
    return f'<text x="{x}" y="{y:.1f}"{look}{length}>{escape(run.text)}</text>'
