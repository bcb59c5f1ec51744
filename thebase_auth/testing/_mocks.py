# The token endpoint for tests that mock HTTP with responses, requests-mock, respx or pytest-httpx.

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thebase_auth._core.origin import Origin

if TYPE_CHECKING:
    import httpx


class TokenEndpoint:
    """A mocked token endpoint.

    Attributes:
        call_count: How many token requests it has received.
    """

    def __init__(self, expires_in: object) -> None:
        self.call_count: int = 0
        self._expires_in = expires_in

    def _body(self) -> str:
        self.call_count += 1
        token = f"token-{self.call_count}"
        return json.dumps({"access_token": token, "token_type": "bearer", "expires_in": self._expires_in})


def mock_token_endpoint(mock: Any, domain: str, *, expires_in: object = 3600) -> TokenEndpoint:
    """Register the token endpoint of a domain with a library that mocks HTTP.

        mock_token_endpoint(responses, "acme.thebase.co.il")
        mock_token_endpoint(respx_mock, "acme.thebase.co.il")

    Any token request gets a token: the first one `token-1`, the next `token-2`, and so on. A test that
    requests no token does not fail for that, because a shared auth object may have one from an earlier test.
    Call `auth.forget()` before each test to start without a token.

    Args:
        mock: `responses`, a `responses.RequestsMock`, `respx`, a `respx` router, a mocker or an adapter of
            requests-mock, or the fixture `httpx_mock` of pytest-httpx.
        domain: The domain, as it is given to `TheBaseAuth`.
        expires_in: The `expires_in` of the token responses: seconds, or any other JSON value.

    Returns:
        The endpoint, whose `call_count` is the number of token requests.

    Raises:
        ValueError: if *domain* cannot be a domain.
        TypeError: if *mock* is of none of these libraries.
    """
    url = f"{Origin.of_domain(domain).url}/oauth/token"
    headers = {"Content-Type": "application/json"}
    endpoint = TokenEndpoint(expires_in)

    def respond(_: object) -> httpx.Response:
        import httpx

        return httpx.Response(200, headers=headers, text=endpoint._body())

    if hasattr(mock, "route"):
        import respx

        class OptionalRoute(respx.Route):
            @property
            def called(self) -> bool:
                return True  # for `assert_all_called`

        mock.add(OptionalRoute(method="POST", url=url)).mock(side_effect=respond)
    elif hasattr(mock, "add_response"):
        mock.add_callback(respond, method="POST", url=url, is_reusable=True, is_optional=True)
    elif hasattr(mock, "register_uri"):
        mock.register_uri("POST", url, headers=headers, text=lambda _request, _context: endpoint._body())
    elif hasattr(mock, "add"):
        import responses

        class OptionalResponse(responses.CallbackResponse):
            @property
            def call_count(self) -> int:
                # RequestsMock fails a test for 0. Its registry asks whether it is more than 0.
                return super().call_count or -1

        mock.add(OptionalResponse("POST", url, lambda _: (200, headers, endpoint._body()), content_type=None))
    else:
        raise TypeError(
            "mock must be of responses, requests-mock, respx or pytest-httpx, not of type"
            f" {type(mock).__name__}"
        )
    return endpoint
