# Assertions that requests were received and that levers were used. A message begins with what differs.

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final

from thebase_auth._text import printable

from ._faults import Drop
from ._messages import NOT_GIVEN, TOKEN_PATH, Response
from ._received import Received, ReceivedRequest, calls_in, path_of

_MOST_SHOWN: Final = 20  # requests, the last ones
_MOST_DIFFERENCES: Final = 3
_LONGEST: Final = 60  # characters of a value
_LONGEST_BODY: Final = 1000  # bytes


def assert_in(
    received: Received, call: str, times: int | None, status: int | None, document: object
) -> Received:
    """Those of the requests that are of a *call*, with this status and this JSON document as body.

    Raises:
        AssertionError: if there are not so many, or none.
        ValueError: if *call* is not a call.
    """
    __tracebackhide__ = True
    calls = calls_in(received, call)
    others = []
    found: Received = ()
    for one in calls:
        if differences := list(_differences(one, status, document)):
            others.append((one, differences))
        else:
            found += (one,)
    if len(found) == times or (times is None and found):
        return found
    wanted = call
    if status is not None:
        wanted += f" with the response {status}"
    if document is not NOT_GIVEN:
        wanted += f" with the body {_text(document)}"
    message = f"received {len(found)} x {wanted}, expected {'at least one' if times is None else times}"
    too_few = times is None or len(found) < times
    if too_few and others:
        # The last of those that differ the least.
        nearest, differences = min(reversed(others), key=lambda other: len(other[1]))
        more = ", ..." if len(differences) > _MOST_DIFFERENCES else ""
        message = f"{nearest} differs: {', '.join(differences[:_MOST_DIFFERENCES])}{more}\n{message}"
    elif not found and too_few:
        message = f"{_instead_of(call, received)}\n{message}"
    listing = _listing(received, with_body=() if document is NOT_GIVEN else calls)
    raise AssertionError(f"{message}; all that was received:{listing}")


def assert_used(left: list[tuple[str, Response | Drop | float, int]], received: Received) -> None:
    """That there is no fault *left*, each with the call that it is for, and how often.

    Raises:
        AssertionError: if there is one.
    """
    __tracebackhide__ = True
    if left:
        counts: Counter[tuple[str, Response | Drop | float]] = Counter()
        for call, fault, times in left:
            counts[call, fault] += times
        unused = "\n".join(
            f"no request has used the {_name_of(fault)} for {call} ({count} x): {_instead_of(call, received)}"
            for (call, fault), count in counts.items()
        )
        raise AssertionError(f"{unused}\nall that was received:{_listing(received)}")


def _name_of(fault: Response | Drop | float) -> str:
    match fault:
        case Response():
            return f"response {fault.status}"
        case Drop():
            return "drop"
        case _:
            return f"delay of {fault} s"


def _instead_of(call: str, received: Received) -> str:
    """What came instead of a *call*, or how often it came."""
    if calls := calls_in(received, call):
        return f"{len(calls)} came"
    of_method = call[0].isalpha()
    came = {f"{one.method} {path_of(one)}" if of_method else path_of(one) for one in received}
    for nearest in get_close_matches(call, sorted(came), 1):
        return f"{nearest} came, not {call}"
    return f"no {call} came"


def _differences(request: ReceivedRequest, status: int | None, document: object) -> Iterator[str]:
    """What differs between a request and what is expected of it."""
    if status not in {None, request.status}:
        yield f"the status is {request.status}, not {status}"
    if document is NOT_GIVEN:
        return
    try:
        differences = list(_json_differences(request.json(), document))
    except (ValueError, RecursionError):
        yield "the body is not that JSON"
    else:
        if differences and path_of(request) == TOKEN_PATH:  # it may hold a secret
            differences = ["the body is another"]
        yield from differences


def _json_differences(actual: Any, expected: Any, where: str = "") -> Iterator[str]:
    if actual == expected:
        return
    if isinstance(actual, dict) and isinstance(expected, dict):
        for key in expected | actual:
            name = f"{where}.{key}" if where else f"{key}"
            if key not in actual:
                yield f"{name} is missing"
            elif key not in expected:
                yield f"{name} is unexpected"
            else:
                yield from _json_differences(actual[key], expected[key], name)
    elif isinstance(actual, list) and isinstance(expected, list) and len(actual) == len(expected):
        for number, pair in enumerate(zip(actual, expected, strict=True)):
            yield from _json_differences(*pair, f"{where}[{number}]")
    else:
        yield f"{where or 'the body'} is {_short(actual)}, not {_short(expected)}"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)


def _short(value: object) -> str:
    text = _text(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _listing(received: Received, with_body: Received = ()) -> str:
    """The requests, one a line; token requests without their body, which may hold a secret."""
    lines = [
        f"{one} {printable(one.body[:_LONGEST_BODY].decode(errors='replace'))}"
        f"{'...' if len(one.body) > _LONGEST_BODY else ''}"
        if one in with_body and path_of(one) != TOKEN_PATH
        else str(one)
        for one in received[-_MOST_SHOWN:]
    ]
    if len(received) > _MOST_SHOWN:
        lines.insert(0, f"({len(received) - _MOST_SHOWN} before)")
    return "".join(f"\n  {line}" for line in lines or ["nothing"])
