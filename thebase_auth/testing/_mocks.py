# The token endpoint for tests that mock HTTP.
#
# Here: one function, for the libraries responses and respx.
# Not here: the sandbox, of which this uses nothing.

from __future__ import annotations

import itertools
import json
from typing import Any

from thebase_auth._core.origin import Origin


def mock_token_endpoint(mock: Any, domain: str, *, expires_in: object = 3600) -> Any:
    """Register the token endpoint of a domain with `responses` or `respx`.

        mock_token_endpoint(responses, "acme.thebase.co.il")
        mock_token_endpoint(respx_mock, "acme.thebase.co.il")

    Any token request gets a token: the first one `token-1`, the next `token-2`, and so on.

    Args:
        mock: `responses`, a `responses.RequestsMock`, `respx`, or a `respx` router.
        domain: The domain, as it is given to `TheBaseAuth`.
        expires_in: The `expires_in` of the answers: seconds, or any other JSON value.

    Returns:
        A `responses.CallbackResponse` or a `respx.Route`. Both have a `call_count`.

    Raises:
        ValueError: if *domain* cannot be a domain.
        TypeError: if *mock* is of neither library.
    """
    url = f"{Origin.of_domain(domain).url}/oauth/token"
    numbers = itertools.count(1)

    def answer(_: Any) -> tuple[int, dict[str, str], str]:
        token = f"token-{next(numbers)}"
        document = {"access_token": token, "token_type": "bearer", "expires_in": expires_in}
        return 200, {"Content-Type": "application/json"}, json.dumps(document)

    if hasattr(mock, "route"):
        import httpx

        def respond(request: httpx.Request) -> httpx.Response:
            status, headers, body = answer(request)
            return httpx.Response(status, headers=headers, text=body)

        return mock.post(url).mock(side_effect=respond)
    if not hasattr(mock, "add"):
        raise TypeError(f"mock must be of responses or of respx, not {type(mock).__name__}")
    from responses import CallbackResponse

    return mock.add(CallbackResponse("POST", url, answer, content_type=None))
