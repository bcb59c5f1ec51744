"""A TheBase of one's own, for tests: with a port or without, with pytest or without.

    with Sandbox() as thebase:
        auth = TheBaseAuth(thebase.domain, thebase.client_id, thebase.client_secret)

Only what opens a port needs the extra `testing`. The data are made up, kept in memory, and gone with
the sandbox. Fixtures for pytest come with the package: `thebase` and `thebase_auth`.
"""

# A map of the sub-package. Each part knows those above it, and nothing below.
#   _messages          what is received, what is answered, and the words for both
#   _lists             users, statuses, types and templates of the vendor's examples
#   _fields            the values of fields, read and made
#   _access            clients, rights, tokens, and the token endpoint
#   _routing           which call a request is
#   _collections       a page of a collection
#   _working_days      the vendor's calendar
#   _leads _products _timers  calls on data that are kept
#   _crm               all calls under /v2
#   _faults            what goes wrong because it was asked for
#   _mounts            as an ASGI or WSGI application
#   _requests_adapter  as an adapter of requests
#   _server            on a port
#   _sandbox           all of it, with its levers and its record
# Beside them:
#   _mocks             the token endpoint for those who mock with responses or respx

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._access import SandboxClient
from ._messages import ReceivedRequest
from ._mocks import mock_token_endpoint
from ._sandbox import Sandbox

if TYPE_CHECKING:
    from ._server import serve as serve

__all__ = ["ReceivedRequest", "Sandbox", "SandboxClient", "mock_token_endpoint"]

if not TYPE_CHECKING:  # who misspells a name is told so

    def __getattr__(name: str) -> Any:
        # It needs uvicorn, which a sandbox without a port does not; and so is not in `__all__`.
        if name == "serve":
            from ._server import serve

            return serve
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
