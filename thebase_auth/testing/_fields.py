# The values of fields.
#
# Here: reading and checking what calls send, and the ids and times that the server makes. Not here: which
# fields a call requires (_crm).

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from ._examples import Item
from ._messages import JSON, Problem, Reason, Request

_LONGEST_TEXT: Final = 4000  # characters
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
            reason=Reason(
                f"Content-Type must be {JSON}", f"הכותרת Content-Type צריכה להיות \u2066{JSON}\u2069"
            ),
        )
    try:
        fields = json.loads(request.body)
        # No NaN and no half of a surrogate pair: no response could contain them.
        json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Problem(400, Reason("the body is not a JSON object", "גוף הבקשה אינו אובייקט JSON"))
    for key in required:
        if is_null(fields.get(key)):
            raise Problem(400, Reason(f"{key} is required", f"חסר השדה \u2066{key}\u2069"))
    return fields


def is_null(value: object) -> bool:
    """Whether a value is NULL in an Oracle database, where an empty string is."""
    return value in (None, "")


def check_length(fields: Item, key: str) -> None:
    """Reject a text that is too long.

    Raises:
        Problem: if it is.
    """
    if len(str(fields[key])) > _LONGEST_TEXT:
        raise Problem(400, f"{key} is longer than {_LONGEST_TEXT} characters")


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
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise Problem(400, f"{key} is not a whole number of at least {least}")
    return int(text)


def yes_or_no(value: object) -> str:
    """A flag as the vendor's lists show it, whether it was sent as a boolean or in that form."""
    return "Y" if value in (True, "Y", "true") else "N"


def optional(fields: Item, *keys: str) -> Item:
    """Some fields, as null if they are missing or empty."""
    return {key: fields.get(key) or None for key in keys}


def stamps(precision: str = "seconds") -> Item:
    """The fields that say when and by whom a record was created."""
    at, who = now(precision), "API"  # the vendor's pages show names of users
    return {"created": at, "updated": at, "created_by": who, "updated_by": who}


def new_id() -> str:
    """A number of 128 bits and always 39 digits, since the first bit is set."""
    return str(2**127 + secrets.randbits(127))


def now(precision: str = "seconds") -> str:
    """The current time, as the vendor writes it."""
    return datetime.now(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
