# How text is laid out for reading.
#
# Here: lines that end between words where a terminal shows them, and whether there are colours. In a pipe or
# a file a line stays a line. Not here: which text.

from __future__ import annotations

import os
import textwrap
from contextlib import suppress
from typing import Final, TextIO

_USUAL_WIDTH: Final = 80  # columns, where a terminal does not tell


def show(text: str, stream: TextIO, indent: str = "  ") -> None:
    """Print a line of text, wrapped between words at a terminal.

    Args:
        text: One line.
        stream: Where to print.
        indent: What all lines but the first begin with.
    """
    print(fold(text, stream, indent), file=stream, flush=True)


def fold(text: str, stream: TextIO, indent: str = "  ") -> str:
    """A line of text as `show` prints it."""
    width = columns(stream)
    if width is None:
        return text
    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def columns(stream: TextIO) -> int | None:
    """How wide the terminal is; None where there is none."""
    if not stream.isatty():
        return None
    with suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH
    return _USUAL_WIDTH


def is_coloured(stream: TextIO) -> bool:
    """Whether colours and signs beyond ASCII are wanted."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
