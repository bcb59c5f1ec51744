"""A TheBase for tests.

    with Sandbox() as thebase:
        auth = TheBaseAuth(thebase.domain, thebase.client_id, thebase.client_secret)

It needs the extra `testing`. The data are made up and kept in memory. pytest finds the fixtures `thebase`,
`thebase_auth` and `thebase_env` by itself.
"""

# A map of the sub-package. Each part knows those above it, and nothing below.
#   _messages     requests, responses, and the names of calls
#   _examples     the lists, records and responses of the vendor's pages
#   _fields       the values of fields, read and made
#   _faults       what goes wrong because a test asked for it
#   _received     received requests, also those that cannot be read
#   _assertions   assertions on them
#   _asgi         an ASGI application
#   _server       a port
#   _routing      which call a request is
#   _collections  a page of a collection
#   _records      what is created, and the calls on it
#   _crm          all calls under /v2
#   _access       clients, permissions, tokens, and the token endpoint
#   _service      the course of a request
#   _sandbox      the sandbox, with its levers and its record
#   _openapi      the calls as an OpenAPI document
#   _levers       the levers by their names, with arguments as JSON has them
#   _control      the control interface of `thebase-auth sandbox`, and its page
# Beside them:
#   _mocks        the token endpoint for tests that mock HTTP
#   _cassettes    cassettes of recorded tests, without secrets

from __future__ import annotations

from ._access import SandboxClient
from ._cassettes import vcr_filters
from ._mocks import mock_token_endpoint
from ._received import ReceivedRequest
from ._sandbox import Sandbox

__all__ = ["ReceivedRequest", "Sandbox", "SandboxClient", "mock_token_endpoint", "vcr_filters"]
