"""Authentication for the API of TheBase, the Israeli CRM, in requests, httpx, httpx2 and aiohttp.

.. code-block:: python

    from thebase_auth import TheBaseAuth

    session.auth = TheBaseAuth(domain, client_id, client_secret)  # requests
    httpx.AsyncClient(auth=TheBaseAuth(domain, client_id, client_secret))

`TheBaseAuth` here plugs into whichever of requests, httpx and httpx2 are installed, and imports them when
it is first asked for. `thebase_auth.requests`, `thebase_auth.httpx`, `thebase_auth.httpx2` and
`thebase_auth.aiohttp` have a class of the same name for one library each, and import only that one.
"""

# A map of the package. Each file imports only files above it.
#
# _core/             what an auth object knows and decides: no network, no files, no event loop
#   errors           what can be raised
#   origin           the domain, and which URLs belong to it: where a token may go
#   credentials      client ID and secret; the token request and its response as plain data
#   diagnosis        what a response without a token means, and what to do about it
#   token            the token, and how it is read from a response
#   throttle         pauses: for operations whose every token is rejected, and for the token endpoint
#   warnings         the logger, and what is logged as a warning
#   flight           one attempt to obtain a token, its leader, and those who wait
#   renewal          the shared token: who fetches it, and who waits
#   call             one call: how it is signed, whether its body can be sent again, when its 401 is final
# _waiting           waiting in threads, asyncio and trio
# caches/            where processes share a token: the protocol, two caches, and the work at any of them
# _auth              what every TheBaseAuth offers to its users
# requests           signs in a callable, replays in a response hook
# _httpx             signs and replays in an auth flow, sync and async, for both libraries
# httpx httpx2       what the two do not share: base class and exceptions
# aiohttp            signs and replays in a client middleware
# _combined          one class out of those that can be imported
#
# A request is signed with the token in use, mostly even with an expired one: the server decides. After a 401,
# `Call.replay` asks `Renewal.steps` for another token. One caller leads a flight, which fetches the token;
# the others wait for that flight.
#
# Another HTTP library needs a file like aiohttp: a class that asks `Origin.must_sign` before it signs, and
# makes sure that the token was ours before it replays; a `Call` that says how a request is sent again and a
# token fetched; three exceptions; and a driver that runs the steps.
#
# Beside the plugin: testing/ (a fake TheBase server for tests), _pytest_plugin, _httpie, _cli/ (the command),
# _text (what testing/ and _cli/ print).

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._core.errors import PlainHTTPError, TheBaseAuthError, TokenRequestError, TokenTimeoutError
from ._core.token import Token

if TYPE_CHECKING:
    from ._combined import TheBaseAuth
    from .caches import FileTokenCache, RedisTokenCache, TokenCache

__version__ = "0.3.0"

__all__ = [
    "FileTokenCache",
    "PlainHTTPError",
    "RedisTokenCache",
    "TheBaseAuth",
    "TheBaseAuthError",
    "Token",
    "TokenCache",
    "TokenRequestError",
    "TokenTimeoutError",
]

_LOADED_WHEN_ASKED_FOR = {
    "FileTokenCache": ".caches",
    "RedisTokenCache": ".caches",
    "TheBaseAuth": "._combined",
    "TokenCache": ".caches",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # so that type checkers report misspelt names

    def __getattr__(name: str) -> Any:
        if name not in _LOADED_WHEN_ASKED_FOR:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        member = getattr(import_module(_LOADED_WHEN_ASKED_FOR[name], __name__), name)
        globals()[name] = member
        return member
