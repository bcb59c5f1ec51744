"""`TheBaseAuth` for httpx, in ``Client`` and in ``AsyncClient`` (asyncio and trio).

.. code-block:: python

    client = httpx.Client(auth=TheBaseAuth("acme.thebase.co.il", client_id, client_secret))
"""

from __future__ import annotations

try:
    import httpx
except ModuleNotFoundError as _missing:
    raise ImportError("thebase_auth.httpx needs httpx: install the extra 'httpx'") from _missing

from ._core import errors
from ._httpx import Binding, HttpxAuth

__all__ = ["PlainHTTPError", "TheBaseAuth", "TokenRequestError", "TokenTimeoutError"]


class TokenRequestError(errors.TokenRequestError, httpx.RequestError):
    """The token endpoint responded, but not with a usable access token."""


class TokenTimeoutError(errors.TokenTimeoutError, httpx.ConnectTimeout, httpx.ConnectError):
    """This call waited for the token requests of other callers, which failed or took too long."""


class PlainHTTPError(errors.PlainHTTPError, httpx.RequestError):
    """A request to the domain over ``http://`` was not sent."""


class TheBaseAuth(HttpxAuth, httpx.Auth):
    """Signs the requests of httpx to one TheBase domain, and renews the token after a 401."""

    _binding = Binding(httpx, (TokenRequestError, TokenTimeoutError, PlainHTTPError))
