"""`TheBaseAuth` for httpx2, in ``Client`` and in ``AsyncClient`` (asyncio and trio).

.. code-block:: python

    client = httpx2.Client(auth=TheBaseAuth("acme.thebase.co.il", client_id, client_secret))
"""

from __future__ import annotations

try:
    import httpx2
except ModuleNotFoundError as _missing:
    raise ImportError("thebase_auth.httpx2 needs httpx2: install the extra 'httpx2'") from _missing

from ._core import errors
from ._httpx import Binding, HttpxAuth

__all__ = ["PlainHTTPError", "TheBaseAuth", "TokenRequestError", "TokenTimeoutError"]


class TokenRequestError(errors.TokenRequestError, httpx2.RequestError):
    """The token endpoint responded, but not with a usable access token."""


class TokenTimeoutError(errors.TokenTimeoutError, httpx2.ConnectTimeout, httpx2.ConnectError):
    """This call waited for the token requests of other callers, which failed or took too long."""


class PlainHTTPError(errors.PlainHTTPError, httpx2.RequestError):
    """A request to the domain over ``http://`` was not sent."""


class TheBaseAuth(HttpxAuth, httpx2.Auth):
    """Signs the requests of httpx2 to one TheBase domain, and renews the token after a 401."""

    _binding = Binding(httpx2, (TokenRequestError, TokenTimeoutError, PlainHTTPError))
