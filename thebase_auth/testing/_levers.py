# The levers of a sandbox by their names, with arguments as JSON has them: for HTTP and buttons of the page.

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ._access import SETTINGS, SandboxClient
from ._sandbox import Sandbox

_MOST: Final = 10**6  # bytes, or seconds
_LONGEST: Final = 1000  # characters of JSON; what is nested deeper than Python allows could not be sent back


class Button(NamedTuple):
    """A button of the page.

    Attributes:
        lever: The lever that it pulls.
        arguments: What the lever gets; the page lets its user change them.
        text: What that does.
        text_he: The same in Hebrew.
    """

    lever: str
    arguments: dict[str, Any]
    text: str
    text_he: str


BUTTONS: Final = (
    Button("revoke_tokens", {}, "revoke every token issued so far", "לבטל את כל הטוקנים שהונפקו עד כה"),
    Button("settings", {"expires_in": 10, "token_lifetime": 10},
           "let tokens live for 10 seconds", "לקצר את תוקף הטוקנים ל־10 שניות"),
    Button("settings", {"single_token": True},
           "let a new token end the earlier ones", "טוקן חדש מבטל את הקודמים"),
    Button("refuse", {"call": "*"}, "take away permission for every call", "לשלול את ההרשאה לכל הקריאות"),
    Button("allow", {"call": "*"}, "give that permission back", "להחזיר את ההרשאה הזאת"),
    Button("answer_next", {"call": "*", "status": 503, "times": 1},
           "respond to the next request with 503", "לענות 503 על הבקשה הבאה"),
    Button("delay_next", {"call": "*", "seconds": 5, "times": 1},
           "delay the next response by 5 seconds", "לעכב את התשובה הבאה ב־5 שניות"),
    Button("drop_next", {"call": "*", "carried_out": False, "times": 1},
           "drop the next connection", "לנתק את החיבור של הבקשה הבאה"),
    Button("redirect_next", {"call": "*", "location": "/moved", "times": 1},
           "redirect the next request", "להפנות את הבקשה הבאה לכתובת אחרת"),
    Button("reset", {}, "start anew: no tokens, no data, no list", "לאפס: למחוק טוקנים, נתונים ובקשות"),
)  # fmt: skip


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


def _settings(sandbox: Sandbox, **settings: Any) -> None:
    for name, value in settings.items():
        if isinstance(value, int | float) and not 0 <= value <= _MOST:
            raise ValueError(f"{name} must be from 0 to {_MOST}, not {value!r}")
        if len(json.dumps(value)) > _LONGEST:
            raise ValueError(f"{name} must be JSON of at most {_LONGEST} characters")
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

# What JSON has for the types of arguments, and the words for it. Any other type may be anything.
_TYPES: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    **dict.fromkeys(("str", "str | bytes", "str | None"), ((str,), "text")),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "Mapping[str, str] | None": ((dict,), "an object"),
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
    signature = _signature(lever)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        names = ", ".join(signature.parameters) or "none"
        raise ValueError(f"{lever}: {error}; its arguments: {names}") from None
    for name, value in arguments.items():
        types, words = _TYPES.get(signature.parameters[name].annotation, ((), ""))
        if types and type(value) not in types:
            raise ValueError(f"{name} must be {words}, not {value!r}")
    with sandbox._service.lock:
        try:
            _LEVERS[lever](sandbox, **arguments)
        except TypeError as error:  # of arguments that do not go together
            raise ValueError(str(error)) from None
    return f"{lever} {json.dumps(arguments, ensure_ascii=False)}" if arguments else lever


def _signature(lever: str) -> inspect.Signature:
    """The arguments of a lever. The settings are some of those of the constructor."""
    if lever == "settings":
        parameters = inspect.signature(Sandbox).parameters
        return inspect.Signature([parameters[name] for name in SETTINGS])
    _, *of_lever = inspect.signature(_LEVERS[lever]).parameters.values()
    return inspect.Signature(of_lever)
