# The levers of a sandbox by their names, with arguments as JSON has them.

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from ._access import SETTINGS, SandboxClient
from ._faults import Drop
from ._messages import Problem
from ._sandbox import Sandbox

_MOST: Final = 10**6  # bytes, or seconds
_LONGEST: Final = 1000  # characters of JSON; what is nested deeper than Python allows could not be sent back
_LONGEST_SHOWN: Final = 200  # characters


def pull(sandbox: Sandbox, lever: str, arguments: Mapping[str, Any]) -> str:
    """Pull a lever.

    Args:
        sandbox: The sandbox.
        lever: The name of the lever.
        arguments: Its arguments by name, as JSON has them.

    Returns:
        A line that says what was done.

    Raises:
        Problem: if there is no such lever (404).
        ValueError: if an argument is wrong, missing, or unknown.
    """
    if lever not in _LEVERS:
        raise Problem(404, f"there is no lever {lever!r}; there are {', '.join(_LEVERS)}")
    for name, value in arguments.items():
        types, words = _TYPES.get(name, ((), ""))
        if types and type(value) not in types:
            raise ValueError(f"{name} must be {words}, not {_shown(value)}")
    try:
        with sandbox._service.lock:
            _LEVERS[lever](sandbox, **arguments)
    except TypeError as error:  # an argument is missing or unknown, or two do not go together
        raise ValueError(str(error)) from None
    return f"{lever} {_shown(arguments)}" if arguments else lever


def pending(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What was prepared for requests that have not come yet: lever, call, and how many times."""
    service = sandbox._service
    levers: list[dict[str, Any]] = []
    with service.lock:
        for call, seconds, times in service.delays.left():
            levers.append({"lever": "delay_next", "call": call, "seconds": seconds, "times": times})
        for call, outcome, times in service.outcomes.left():
            if isinstance(outcome, Drop):
                lever = {"lever": "drop_next", "call": call, "carried_out": outcome is Drop.AFTER}
            else:
                lever = {"lever": "answer_next", "call": call, "status": outcome.status}
            levers.append({**lever, "times": times})
    return levers


def revoke_tokens(sandbox: Sandbox, client_id: str | None = None) -> None:
    """Revoke the tokens of one client, or of all."""
    sandbox.revoke_tokens(None if client_id is None else _client(sandbox, client_id))


def settings(sandbox: Sandbox, **values: Any) -> None:
    """Change settings."""
    for name, value in values.items():
        if name not in SETTINGS:
            raise ValueError(f"there is no setting {name!r}; there are {', '.join(SETTINGS)}")
        if name != "expires_in" and not 0 <= value <= _MOST:
            raise ValueError(f"{name} must be from 0 to {_MOST}, not {value}")
        if len(json.dumps(value)) > _LONGEST:
            raise ValueError(f"{name} must be JSON of at most {_LONGEST} characters")
    vars(sandbox).update(values)


def refuse(sandbox: Sandbox, call: str, client_id: str | None = None) -> None:
    """Take away permission for a call."""
    _client(sandbox, client_id).refuse(call)


def allow(sandbox: Sandbox, call: str, client_id: str | None = None) -> None:
    """Give back permission for a call."""
    _client(sandbox, client_id).allow(call)


def _client(sandbox: Sandbox, client_id: str | None) -> SandboxClient:
    if client_id is None:
        return sandbox.client
    for client in sandbox.clients:
        if client.client_id == client_id:
            return client
    known = ", ".join(client.client_id for client in sandbox.clients)
    raise ValueError(f"there is no client {client_id!r}; there are {known}")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


_LEVERS: Final[dict[str, Callable[..., None]]] = {
    "revoke_tokens": revoke_tokens,
    "settings": settings,
    "refuse": refuse,
    "allow": allow,
    "answer_next": Sandbox.answer_next,
    "delay_next": Sandbox.delay_next,
    "drop_next": Sandbox.drop_next,
    "redirect_next": Sandbox.redirect_next,
    "reset": Sandbox.reset,
}

# What an argument must be, whichever lever it is for. `json` and `expires_in` may be anything.
_TYPES: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    **dict.fromkeys(("call", "client_id", "location", "body", "content_type"), ((str,), "text")),
    **dict.fromkeys(("status", "times"), ((int,), "a whole number")),
    **dict.fromkeys(("seconds", "token_lifetime"), ((int, float), "a number")),
    **dict.fromkeys(("single_token", "carried_out"), ((bool,), "true or false")),
    "headers": ((dict,), "an object"),
}
