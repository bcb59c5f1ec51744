# The levers of a sandbox by their names, for those who do not call its methods.
#
# Here: which levers there are, with arguments as JSON has them; the control interface and its page share
# this table. Not here: what a lever does (_sandbox), and HTTP (_control).

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ._access import SETTINGS, SandboxClient
from ._sandbox import Sandbox

_MOST: Final = 10**6  # times, bytes, or seconds


class Key(NamedTuple):
    """A button of the page.

    Attributes:
        key: Its name, by which the page finds its text in another language.
        lever: The lever that it pulls.
        arguments: What the lever gets; the page lets its user change them.
        text: What that does.
    """

    key: str
    lever: str
    arguments: dict[str, Any]
    text: str


KEYS: Final = (
    Key("r", "revoke_tokens", {}, "refuse every token issued so far"),
    Key("e", "settings", {"expires_in": 10, "token_lifetime": 10}, "let tokens live for 10 seconds"),
    Key("o", "settings", {"single_token": True}, "let a new token end the earlier ones"),
    Key("f", "refuse", {"call": "*"}, "take away the right to every call"),
    Key("g", "allow", {"call": "*"}, "give that right back"),
    Key("a", "answer_next", {"call": "*", "status": 503, "times": 1}, "answer the next request with 503"),
    Key("d", "delay_next", {"call": "*", "seconds": 5, "times": 1}, "delay the next answer by 5 seconds"),
    Key("c", "drop_next", {"call": "*", "carried_out": False, "times": 1}, "drop the next connection"),
    Key("m", "redirect_next", {"call": "*", "location": "/moved", "times": 1}, "redirect the next request"),
    Key("x", "reset", {}, "start anew: no tokens, no data, no list"),
)


def _client(sandbox: Sandbox, client_id: str) -> SandboxClient:
    for client in sandbox.clients:
        if client.client_id == client_id:
            return client
    raise ValueError(
        f"there is no client {client_id!r}; there are {[one.client_id for one in sandbox.clients]}"
    )


def _revoke_tokens(sandbox: Sandbox, client_id: str | None = None) -> None:
    sandbox.revoke_tokens(None if client_id is None else _client(sandbox, client_id))


def _refuse(sandbox: Sandbox, call: str, client_id: str | None = None) -> None:
    (sandbox.client if client_id is None else _client(sandbox, client_id)).refuse(call)


def _allow(sandbox: Sandbox, call: str, client_id: str | None = None) -> None:
    (sandbox.client if client_id is None else _client(sandbox, client_id)).allow(call)


def _settings(sandbox: Sandbox, **settings: object) -> None:
    for name in settings:
        if name not in SETTINGS:
            raise ValueError(f"there is no setting {name!r}; there are {', '.join(SETTINGS)}")
    vars(sandbox).update(settings)


_LEVERS: Final[dict[str, Callable[..., None]]] = {
    "revoke_tokens": _revoke_tokens,
    "settings": _settings,
    "refuse": _refuse,
    "allow": _allow,
    "answer_next": Sandbox.answer_next,
    "delay_next": Sandbox.delay_next,
    "drop_next": Sandbox.drop_next,
    "redirect_next": Sandbox.redirect_next,
    "reset": Sandbox.reset,
}

_NUMBER: Final = (int, float)
_LONGEST: Final = 1000  # characters of JSON; what is nested deeper than Python allows could not be answered
# The types of arguments, in Python and in words. `expires_in` may be anything that is not long.
_TYPES: Final[dict[str, tuple[type | tuple[type, ...], str]]] = {
    **dict.fromkeys(("call", "body", "content_type", "location", "client_id"), (str, "text")),
    **dict.fromkeys(("status", "times", "error_page_size"), (int, "a whole number")),
    **dict.fromkeys(("seconds", "token_lifetime"), (_NUMBER, "a number")),
    **dict.fromkeys(("single_token", "carried_out"), (bool, "true or false")),
    "headers": (dict, "an object"),
}


def pull(sandbox: Sandbox, lever: str, arguments: Mapping[str, Any]) -> str:
    """Pull a lever.

    Args:
        sandbox: The sandbox.
        lever: The name of the lever.
        arguments: Its arguments, by their names, as JSON has them.

    Returns:
        A line that says what was done.

    Raises:
        LookupError: if there is no such lever.
        ValueError: if an argument is wrong, missing, or unknown.
    """
    if lever not in _LEVERS:
        raise LookupError(f"there is no lever {lever!r}; there are {', '.join(_LEVERS)}")
    for name, value in arguments.items():
        _check(name, value)
    _, *known = inspect.signature(_LEVERS[lever]).parameters.values()
    for one in known:
        if one.default is one.empty and one.kind is not one.VAR_KEYWORD and one.name not in arguments:
            raise ValueError(f"{lever} needs {one.name}")
    names = [one.name for one in known]
    for name in arguments:
        if name not in names and "settings" not in names:  # of which there are many
            raise ValueError(f"{lever} has no {name!r}; it has {', '.join(names) or 'no arguments'}")
    with sandbox._service.lock:
        try:
            _LEVERS[lever](sandbox, **arguments)
        except TypeError as error:  # of arguments that do not go together
            raise ValueError(str(error)) from None
    return f"{lever} {json.dumps(arguments, ensure_ascii=False)}" if arguments else lever


def _check(name: str, value: object) -> None:
    kind, words = _TYPES.get(name, (object, ""))
    if not isinstance(value, kind) or (isinstance(value, bool) and kind in (int, _NUMBER)):
        raise ValueError(f"{name} must be {words}, not {value!r}")
    if kind in (int, _NUMBER) and not 0 <= value <= _MOST:  # type: ignore[operator]
        raise ValueError(f"{name} must be from 0 to {_MOST}, not {value!r}")
    if name == "expires_in" and len(json.dumps(value)) > _LONGEST:
        raise ValueError(f"{name} must be JSON of at most {_LONGEST} characters")
    if kind is dict and not all(isinstance(field, str) for field in value.values()):  # type: ignore[attr-defined]
        raise ValueError(f"{name} must have text for values")
