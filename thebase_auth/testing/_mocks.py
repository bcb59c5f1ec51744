# The token endpoint for tests that mock HTTP.
#
# Here: one function, for the libraries responses, requests-mock, respx and pytest-httpx.
# Not here: the sandbox, of which this uses nothing; recorded answers (_cassettes).

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Protocol, overload

from thebase_auth._core.origin import Origin

if TYPE_CHECKING:
    from types import ModuleType

    import httpx
    import requests_mock
    import responses
    import respx


class TokenEndpoint(Protocol):
    """What is registered with those libraries that have no public type for it."""

    @property
    def call_count(self) -> int: ...


class _HTTPXMock(Protocol):
    """The fixture `httpx_mock` of pytest-httpx."""

    def add_callback(self, callback: Any, **matchers: Any) -> None: ...
    def add_response(self, status_code: int = ..., **matchers: Any) -> None: ...


class _Counted:
    """What pytest-httpx calls, and does not count by itself."""

    def __init__(self, respond: Any) -> None:
        self.call_count = 0
        self._respond = respond

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.call_count += 1
        response: httpx.Response = self._respond(request)
        return response


@overload
def mock_token_endpoint(
    mock: responses.RequestsMock, domain: str, *, expires_in: object = 3600
) -> responses.CallbackResponse: ...
@overload
def mock_token_endpoint(mock: respx.Router, domain: str, *, expires_in: object = 3600) -> respx.Route: ...
@overload
def mock_token_endpoint(
    mock: requests_mock.Mocker | requests_mock.Adapter | _HTTPXMock, domain: str, *, expires_in: object = 3600
) -> TokenEndpoint: ...
@overload
def mock_token_endpoint(mock: ModuleType, domain: str, *, expires_in: object = 3600) -> Any: ...


def mock_token_endpoint(mock: Any, domain: str, *, expires_in: object = 3600) -> Any:
    """Register the token endpoint of a domain with a library that mocks HTTP.

        mock_token_endpoint(responses, "acme.thebase.co.il")
        mock_token_endpoint(respx_mock, "acme.thebase.co.il")

    Any token request gets a token: the first one `token-1`, the next `token-2`, and so on.

    Args:
        mock: `responses`, a `responses.RequestsMock`, `respx`, a `respx` router, a mocker or an adapter of
            requests-mock, or the fixture `httpx_mock` of pytest-httpx.
        domain: The domain, as it is given to `TheBaseAuth`.
        expires_in: The `expires_in` of the answers: seconds, or any other JSON value.

    Returns:
        What the library has made of it, such as a `responses.CallbackResponse` or a `respx.Route`. It has a
        `call_count`.

    Raises:
        ValueError: if *domain* cannot be a domain.
        TypeError: if *mock* is of none of these libraries.
    """
    url = f"{Origin.of_domain(domain).url}/oauth/token"
    headers = {"Content-Type": "application/json"}
    numbers = itertools.count(1)

    def body() -> str:
        token = f"token-{next(numbers)}"
        return json.dumps({"access_token": token, "token_type": "bearer", "expires_in": expires_in})

    def respond(_: object) -> httpx.Response:
        import httpx

        return httpx.Response(200, headers=headers, text=body())

    if hasattr(mock, "route"):
        return mock.post(url).mock(side_effect=respond)
    if hasattr(mock, "add_response"):
        counted = _Counted(respond)
        mock.add_callback(counted, method="POST", url=url, is_reusable=True)
        return counted
    if hasattr(mock, "register_uri"):
        return mock.register_uri("POST", url, headers=headers, text=lambda _request, _context: body())
    if not hasattr(mock, "add"):
        raise TypeError(
            "mock must be of responses, requests-mock, respx or pytest-httpx, not of type"
            f" {type(mock).__name__}"
        )
    from responses import CallbackResponse

    return mock.add(CallbackResponse("POST", url, lambda _: (200, headers, body()), content_type=None))
