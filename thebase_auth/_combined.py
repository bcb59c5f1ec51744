# TheBaseAuth for all installed HTTP libraries at once. Importing this module imports every one of them, so
# the package does it only when somebody uses `thebase_auth.TheBaseAuth`.

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .httpx import TheBaseAuth as _ForHttpx
    from .httpx2 import TheBaseAuth as _ForHttpx2
    from .requests import TheBaseAuth as _ForRequests

    class TheBaseAuth(_ForRequests, _ForHttpx, _ForHttpx2):
        """Signs the requests of requests, httpx and httpx2 to one TheBase domain."""
else:
    _classes = []
    for _library in ("requests", "httpx", "httpx2"):
        try:
            _classes.append(import_module(f"thebase_auth.{_library}").TheBaseAuth)
        except ImportError as error:
            # Ours says that the library is missing. Any other is a defect, and must be seen.
            if not isinstance(error.__cause__, ModuleNotFoundError):
                raise
    if not _classes:
        raise ImportError(
            "thebase_auth.TheBaseAuth needs an HTTP library: install the extra 'requests', 'httpx'"
            " or 'httpx2'. For aiohttp, use thebase_auth.aiohttp.TheBaseAuth"
        )

    class TheBaseAuth(*_classes):
        """Signs the requests of requests, httpx and httpx2 to one TheBase domain; see each of them."""
