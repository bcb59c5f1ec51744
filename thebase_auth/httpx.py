"""`TheBaseAuth` for httpx, in ``Client`` and in ``AsyncClient`` (asyncio and trio).

.. code-block:: python

    client = httpx.Client(auth=TheBaseAuth("acme.thebase.co.il", client_id, client_secret))
"""

# Here: the Auth base and the exceptions of httpx. Everything else is in _httpx.

from __future__ import annotations

try:
    import httpx
except ModuleNotFoundError as _missing:
    if _missing.name != "httpx":
        raise
    raise ImportError("thebase_auth.httpx needs httpx: pip install 'thebase-auth[httpx]'") from _missing

from ._core import errors
from ._httpx import HttpxDriver
from ._httpx_io import ERRORS, IN_MEMORY_STREAMS

__all__ = ["PlainHTTPError", "ReplayError", "TheBaseAuth", "TokenRequestError", "TokenTimeoutError"]


class TokenRequestError(errors.TokenRequestError, httpx.RequestError):
    """The token endpoint answered, but not with a usable access token."""


class TokenTimeoutError(errors.TokenTimeoutError, httpx.ReadTimeout):
    """This call timed out while it waited for another caller, or a cache, to get an access token."""


class ReplayError(errors.ReplayError, httpx.RequestError):
    """The server refused the token (401), and the body changed before it could be sent again."""


class PlainHTTPError(errors.PlainHTTPError, httpx.RequestError):
    """A request to the domain over ``http://`` was stopped before it was sent."""


class TheBaseAuth(HttpxDriver, httpx.Auth):
    """Signs the requests of httpx to one TheBase domain, and renews the token after a 401."""


IN_MEMORY_STREAMS.append(httpx.ByteStream)
ERRORS[httpx.Request] = (TokenRequestError, TokenTimeoutError, ReplayError, PlainHTTPError)
