"""`TheBaseAuth` for httpx2, in ``Client`` and in ``AsyncClient`` (asyncio and trio).

.. code-block:: python

    client = httpx2.Client(auth=TheBaseAuth("acme.thebase.co.il", client_id, client_secret))
"""

# Here: the Auth base and the exceptions of httpx2. Everything else is in _httpx.

from __future__ import annotations

try:
    import httpx2
except ModuleNotFoundError as _missing:
    if _missing.name != "httpx2":
        raise
    raise ImportError("thebase_auth.httpx2 needs httpx2: pip install 'thebase-auth[httpx2]'") from _missing

from ._core import errors
from ._httpx import HttpxDriver
from ._httpx_io import ERRORS, IN_MEMORY_STREAMS

__all__ = ["PlainHTTPError", "ReplayError", "TheBaseAuth", "TokenRequestError", "TokenTimeoutError"]


class TokenRequestError(errors.TokenRequestError, httpx2.RequestError):
    """The token endpoint answered, but not with a usable access token."""


class TokenTimeoutError(errors.TokenTimeoutError, httpx2.ReadTimeout):
    """This call timed out while it waited for another caller, or a cache, to get an access token."""


class ReplayError(errors.ReplayError, httpx2.RequestError):
    """The server refused the token (401), and the body changed before it could be sent again."""


class PlainHTTPError(errors.PlainHTTPError, httpx2.RequestError):
    """A request to the domain over ``http://`` was stopped before it was sent."""


class TheBaseAuth(HttpxDriver, httpx2.Auth):
    """Signs the requests of httpx2 to one TheBase domain, and renews the token after a 401."""


IN_MEMORY_STREAMS.append(httpx2.ByteStream)
ERRORS[httpx2.Request] = (TokenRequestError, TokenTimeoutError, ReplayError, PlainHTTPError)
