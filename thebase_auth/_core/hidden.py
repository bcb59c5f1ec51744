# Text that must not be shown.
#
# Here: the one type in which the secret is kept, and how it is taken out of the text of others. Not here:
# who may see it (origin) or what is in it (credentials, token). Local variables are printed in ways that
# nobody plans, and some tools cut a long text before they take its repr(): so it is no kind of text.

from __future__ import annotations

import re
from typing import Any


class Hidden:
    """A text that is shown as ``'[hidden]'``, however it is printed."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "'[hidden]'"

    def __reduce__(self) -> tuple[type[Hidden], tuple[str]]:
        return Hidden, (self._text,)

    def reveal(self) -> str:
        """The text. Not to be kept in a variable of a call that may fail."""
        return self._text


def hidden(value: object) -> Any:
    """*value*, hidden if it is text; what is no text is for others to refuse."""
    return Hidden(value) if isinstance(value, str) else value


def redacted(text: str, secret: str) -> str:
    """*text* of somebody else with *secret* taken out, also where a URL or JSON has escaped it."""
    return re.sub("".join(map(_spellings, secret)), "[hidden]", text)


def _spellings(character: str) -> str:
    percent = "".join(f"%{byte:02x}" for byte in character.encode())
    plain = r"[\s+]" if character == " " else re.escape(character)
    return rf"(?:\\{{0,4}}{plain}|(?i:{percent}))"  # bounded, or many of them would take for ever
