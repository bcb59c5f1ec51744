"""Authentication for the API of TheBase, in requests, httpx and httpx2."""
from __future__ import annotations
from typing import TYPE_CHECKING, Any

from ._errors import PlainHTTPError, TheBaseAuthError, TokenRequestError, TokenTimeoutError
from ._token import Token

if TYPE_CHECKING:
    from ._combined import TheBaseAuth

__version__ = "0.1.0"

__all__ = ["PlainHTTPError", "TheBaseAuth", "TheBaseAuthError", "Token", "TokenRequestError", "TokenTimeoutError"]

def __getattr__(name: str) -> Any:
    if name == "TheBaseAuth":
        from ._combined import TheBaseAuth
        globals()[name] = TheBaseAuth
        return TheBaseAuth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
