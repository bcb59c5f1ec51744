# What the user sees of an answer, and of a long wait.
#
# Here: a body set for reading, without anything that would control the terminal, and the sign of life while
# an answer is waited for. Not here: which answer (_commands), and errors (_errors).

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import requests
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from ._screen import columns

# A shorter wait needs no explanation.
_PATIENCE: Final = 2.0  # seconds

# Setting a longer text for a terminal would take too long.
_LONGEST_AT_ONCE: Final = 100_000  # characters


def print_body(response: requests.Response) -> None:
    """Print JSON set for reading, anything else as it is."""
    if not response.content:
        return
    try:
        text = json.dumps(response.json(), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        print(_harmless(_text(response), "\N{REPLACEMENT CHARACTER}"))
        return
    text = _harmless(text)
    console = Console(file=sys.stdout, color_system=None if os.environ.get("NO_COLOR") else "auto")
    if not console.is_terminal or len(text) > _LONGEST_AT_ONCE:
        print(text)
        return
    width = columns(sys.stdout) or sys.maxsize
    # Not printed by the console, which ends the process where nobody reads any more.
    with console.capture() as rendered:
        for line in text.splitlines():
            inner = line.lstrip(" ")
            indent = Text(" " * (len(line) - len(inner)))
            for piece in JSONHighlighter()(inner).wrap(console, width - len(indent)):
                piece.rstrip()
                console.print(indent + piece, soft_wrap=True)
    print(rendered.get(), end="")


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Say on stderr that the block waits for *what*, if it takes long."""
    text = f"waiting for {what}"
    console = Console(stderr=True)
    status = console.status(Text(text))  # a Text, since an address in brackets is not markup
    begin = status.start if console.is_terminal else lambda: console.print(text, markup=False)
    timer = threading.Timer(_PATIENCE, begin)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # or it might begin after this
        status.stop()


def _text(response: requests.Response) -> str:
    """The body as text: in UTF-8, as the API sends it, unless the answer says otherwise."""
    content_type = response.headers.get("Content-Type", "").lower()
    encoding = (response.encoding or "utf-8") if "charset" in content_type else "utf-8"
    try:
        return response.content.decode(encoding, "replace")
    except (LookupError, UnicodeError):  # no such encoding, or one like `undefined`
        return response.content.decode("utf-8", "replace")


def _harmless(text: str, replacement: str | None = None) -> str:
    """Text without control characters: replaced, or escaped as in JSON."""
    return "".join(c if c.isprintable() or c in "\n\t" else replacement or json.dumps(c)[1:-1] for c in text)
