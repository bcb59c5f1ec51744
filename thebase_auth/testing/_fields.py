# The values of fields: reading and checking what calls send, and the ids and times that the server makes.

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

from ._examples import Item
from ._messages import JSON, Problem, Reason, Request

_MOST_PARAMETERS: Final = 100
_LONGEST_TEXT: Final = 4000  # characters, as the vendor says of notes
_NUMBER_LIMIT: Final = 10**38  # of Oracle's NUMBER


def read_fields(request: Request, required: Iterable[str]) -> Item:
    """The JSON object in a body.

    Raises:
        Problem: if it is none, lacks one of the *required* keys, or is said to be something else (415).
    """
    # ORDS checks the media types that a handler allows, and no body that is called a form is read as JSON.
    # That the vendor's handlers allow JSON only, and nothing without a Content-Type, is a guess.
    if request.body and request.media_type != JSON:
        raise Problem(
            415,
            reason=Reason(f"Content-Type must be {JSON}", f"ה־Content-Type צריך להיות \u2066{JSON}\u2069"),
        )
    try:
        fields = json.loads(request.body)
        # No NaN and no half of a surrogate pair: no response could contain them.
        json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Problem(400, Reason("the body is not a JSON object", "ה־body הוא לא אובייקט JSON"))
    for key in required:
        if is_null(fields.get(key)):
            raise Problem(400, Reason(f"{key} is required", f"חסר השדה \u2066{key}\u2069"))
        if len(text(fields[key])) > _LONGEST_TEXT:
            raise Problem(400, f"{key} is longer than {_LONGEST_TEXT} characters")
    return fields


def parameters(text: str) -> dict[str, str]:
    """The parameters of a query or a form; the last of several of one name.

    Raises:
        Problem: if there are too many.
    """
    try:
        return dict(parse_qsl(text, max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        raise Problem(400, f"there are more than {_MOST_PARAMETERS} parameters") from None


def is_null(value: object) -> bool:
    """Whether a value is NULL in an Oracle database, where an empty string is."""
    return value in (None, "")


def text(value: object) -> str:
    """A value as text, as it is compared and shown."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def number(key: str, value: object) -> float:
    """A JSON number.

    Raises:
        Problem: if it is something else, or too large.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _NUMBER_LIMIT:
        return value
    raise Problem(400, f"{key} is not a number")


def whole_number(key: str, value: object, *, least: int = 0) -> int:
    """A whole number, in JSON or as text.

    Raises:
        Problem: if it is something else, or less than *least*.
    """
    digits = text(value)
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10 and int(digits) >= least):
        raise Problem(400, f"{key} is not a whole number of at least {least}")
    return int(digits)


def yes_or_no(value: object) -> str:
    """A flag as the vendor's lists show it, whether it was sent as a boolean or in that form."""
    return "Y" if value in (True, "Y", "true") else "N"


def new_id() -> str:
    """A number of 128 bits and always 39 digits, since the first bit is set."""
    return str(2**127 + secrets.randbits(127))


def now() -> str:
    """The current time, as the vendor writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
