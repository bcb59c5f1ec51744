# Text that must not be shown.
#
# Here: the one type in which the secret is kept, in a setting and in the header of the token request, and
# how it is taken out of the text of others. Not here: who may see it (_origin) or what is in it
# (_credentials, _token). A header is printed in many ways nobody plans: a dict of headers in a log
# line, the local variables in an error report. All of them go through repr().

from __future__ import annotations

import re
from typing import TypeVar

_Any = TypeVar("_Any")


class Hidden(str):
    """A header value that is sent as it is and shown as ``'[hidden]'`` by ``repr()``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[hidden]'"

    def __deepcopy__(self, memo: object) -> Hidden:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        # Copies and pickles are plain text: whoever reads them need not have this package.
        return str, (str.__str__(self),)


def hidden(value: _Any) -> _Any | Hidden:
    """*value*, hidden if it is text; what is no text is for others to refuse."""
    return Hidden(value) if isinstance(value, str) else value


def redacted(text: str, secret: str) -> str:
    """*text* of somebody else with *secret* taken out, also where a URL or JSON has escaped it."""
    return re.sub("".join(map(_spellings, secret)), "[hidden]", text)


def _spellings(character: str) -> str:
    percent = "".join(f"%{byte:02x}" for byte in character.encode())
    plain = r"[\s+]" if character == " " else re.escape(character)
    return rf"(?:\\{{0,4}}{plain}|(?i:{percent}))"  # bounded, or many of them would take for ever
