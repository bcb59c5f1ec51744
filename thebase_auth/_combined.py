# TheBaseAuth for all the HTTP libraries that are installed.
#
# Here: one class out of those of the adapter modules. Not here: anything that a library needs of
# its own (the adapter modules). Importing this imports every installed library, which is why the
# package does so only when somebody asks for `thebase_auth.TheBaseAuth`.

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

_LIBRARIES = ("requests", "httpx", "httpx2")

if TYPE_CHECKING:
    from .httpx import TheBaseAuth as _ForHttpx
    from .httpx2 import TheBaseAuth as _ForHttpx2
    from .requests import TheBaseAuth as _ForRequests

    class TheBaseAuth(_ForRequests, _ForHttpx, _ForHttpx2):
        """Signs the requests of requests, httpx and httpx2 to one TheBase domain."""
else:
    _installed: list[Any] = [
        import_module(f"thebase_auth.{library}").TheBaseAuth
        for library in _LIBRARIES
        if find_spec(library) is not None
    ]
    if not _installed:
        raise ImportError(
            "thebase_auth.TheBaseAuth needs an HTTP library: pip install 'thebase-auth[requests]',"
            " 'thebase-auth[httpx]' or 'thebase-auth[httpx2]'"
        )
    TheBaseAuth = type("TheBaseAuth", tuple(_installed), {})
