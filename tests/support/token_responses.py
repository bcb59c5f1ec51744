"""Responses of a token endpoint, parsed for one client."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from thebase_auth._core.credentials import Credentials, TokenResponse
from thebase_auth._core.errors import TokenRequestError
from thebase_auth._core.origin import Origin
from thebase_auth._core.token import Token, parse_token_response

NOW = 1_700_000_000.0  # epoch seconds
DOMAIN = "acme.thebase.co.il"
SECRET = "canary..4f1c-K9_x"
CREDENTIALS = Credentials(Origin("https", DOMAIN, 443), "LvTJmqtlvEKyuqvz1brRMg..", SECRET)
BASIC = base64.b64encode(f"{CREDENTIALS.client_id}:{SECRET}".encode()).decode()
GOOD: dict[str, Any] = {"access_token": "HsXI8gp1B5F2d5EDnGy3Tw", "token_type": "bearer", "expires_in": 3600}
WHERE = "Settings, Webhooks/API, API token"


def a_response(
    document: object, *, status: int = 200, media_type: str = "application/json", **headers: str
) -> TokenResponse:
    """Return a response with a JSON document, or with bytes as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return TokenResponse(status, httpx.Headers({"Content-Type": media_type, **named}), body, NOW)


def parse(response: TokenResponse) -> Token:
    return parse_token_response(response, CREDENTIALS)


def error_of(response: TokenResponse) -> TokenRequestError:
    """Return the error that *response* gives, after checks that hold for every one."""
    with pytest.raises(TokenRequestError) as caught:
        parse(response)
    error = caught.value
    assert error.__context__ is None
    assert type(error) is TokenRequestError
    assert (error.domain, error.status) == (DOMAIN, response.status)
    assert f"the token endpoint of {DOMAIN} responded with {response.status}" in str(error)
    assert str(error).isprintable()
    return error
