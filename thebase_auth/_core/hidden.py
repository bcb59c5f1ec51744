# Text that must not be shown.
#
# Here: the type in which the secret is kept, and how it is removed from the text of others. Not here: where
# it may go (origin), and what it is (credentials). The type is not a `str`: tools print local variables in
# many ways, and some shorten a string before they take its repr().

from __future__ import annotations

import re
from typing import Any, Final

# Each byte as a URL has it (RFC 3986 section 2.3): as it is, or escaped.
_IN_A_URL: Final = [
    chr(byte) if re.match(rb"[\w.~-]", bytes([byte])) else f"%{byte:02X}" for byte in range(256)
]


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
        """The text. Do not keep it in a local variable of a function that may fail."""
        return self._text


def hidden(value: object) -> Any:
    """*value*, hidden if it is text. Anything else is refused elsewhere."""
    return Hidden(value) if isinstance(value, str) else value


def redacted(text: str, secret: str) -> str:
    """*text* without *secret*, also where a URL or JSON has escaped it."""
    return re.sub("".join(map(_spellings, secret)), "[hidden]", text)


def without_token(text: str, token: str) -> str:
    """*text* without *token*, which may be anything that a server sends, also where a URL has escaped it."""
    escaped = "".join(map(_IN_A_URL.__getitem__, token.encode(errors="replace")))
    return text.replace(token, "[hidden]").replace(escaped, "[hidden]")


def _spellings(character: str) -> str:
    percent = "".join(f"%{byte:02x}" for byte in character.encode())
    plain = r"[\s+]" if character == " " else re.escape(character)
    return rf"(?:\\{{0,4}}{plain}|(?i:{percent}))"  # bounded, or a long run of them would take forever
