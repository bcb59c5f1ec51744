"""Authentication for the API of TheBase, the Israeli CRM, in requests, httpx and httpx2.

.. code-block:: python

    from thebase_auth import TheBaseAuth

    session.auth = TheBaseAuth(domain, client_id, client_secret)  # requests
    httpx.AsyncClient(auth=TheBaseAuth(domain, client_id, client_secret))

`TheBaseAuth` here plugs into whichever of the three libraries are installed, and imports them when
it is first asked for. `thebase_auth.requests`, `thebase_auth.httpx` and `thebase_auth.httpx2` have a
class of the same name for one library each, and import only that one.
"""

# A map of the package. Each group imports only those above it; `core` alone loads the coordinator of a cache,
# if there is a cache.
#
# _core/             what an auth object knows and decides: no network, no HTTP library, no event loop
#   hidden           a secret that is kept, and not shown
#   errors           what can be raised, and what each error tells
#   origin           the domain, and which URLs belong to it: where a token may go
#   credentials      id and secret; the token request as plain data
#   token            the token, and the answer of the token endpoint
#   bodies           which bodies can be sent a second time, and how
#   time_budget      how long one caller may take
#   backoff          pauses before asking again
#   pending          what one caller waits for and another brings about
#   shared_token     who fetches, who waits; the shared state and its only lock
#   notices          warnings of what goes silently wrong
#   core             the state and the rules of one auth object
#   caller           how one caller comes by a token
#   attempt          what a 401 means for one request
# _waiting           waiting in threads, asyncio and trio
# _reading           how much of an answer is read, and for how long
# caches/            where processes share a token
#   _protocol        what a cache is
#   _file _redis     two of them
#   _record          a token as it lies in a cache
#   _coordinator     what is done at a cache for one renewal, and the life of a token there
# _auth              what every TheBaseAuth offers to its users
# requests           a callable and a response hook
#   _requests_io     the token request, reading, the replay
# _httpx             an auth flow, sync and async, for httpx and httpx2
#   _httpx_flow      the steps of that flow
#   _httpx_io        bodies, reading, the replay
# httpx httpx2       what the two do not share: base class and exceptions
# _combined          one class out of those that can be imported
#
# Beside the plugin: testing/ (a TheBase for tests), _pytest_plugin, _httpie, _cli/ (the command).
#
# A request: the adapter signs it with the token in use, even with an expired one, which the server may still
# accept; without one, a `Caller` gets one first. If a 401 comes back, an `Attempt` decides whether to replay.
# The adapter reads the 401, so that it holds no connection, and a `Caller` gets another token: through
# `SharedToken` it becomes the leader, which fetches the token, or a waiter. With a cache, the leader looks
# there first and stores the token afterwards, by an `Errand`. Then the adapter rewinds the body and replays
# the request. If a redirect leads to another host, the libraries take our header away.
#
# Another HTTP library needs a module like httpx.py (its auth class and exceptions), an adapter like requests
# or _httpx_flow (all that a request needs, as above; it also tells `Core` of answers, and of calls without
# one), and its name in _combined, in the extras, in the layout test and in the texts that name the others.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._core.errors import PlainHTTPError, ReplayError, TheBaseAuthError, TokenRequestError, TokenTimeoutError
from ._core.token import Token

if TYPE_CHECKING:
    from ._combined import TheBaseAuth
    from .caches import FileTokenCache, RedisTokenCache, TokenCache

__version__ = "0.2.0"

__all__ = [
    "FileTokenCache",
    "PlainHTTPError",
    "RedisTokenCache",
    "ReplayError",
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
