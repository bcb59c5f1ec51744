"""Answers of a token endpoint, read for one client."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from thebase_auth._core.credentials import Credentials
from thebase_auth._core.errors import TokenRequestError
from thebase_auth._core.origin import Origin
from thebase_auth._core.token import Answer, Token, parse_token_response

NOW = 1_700_000_000.0


DOMAIN = "acme.thebase.co.il"


SECRET = "canary..4f1c-K9_x"


CREDENTIALS = Credentials(Origin("https", DOMAIN, 443), "LvTJmqtlvEKyuqvz1brRMg..", SECRET)


BASIC = base64.b64encode(f"{CREDENTIALS.client_id}:{SECRET}".encode()).decode()


GOOD: dict[str, Any] = {"access_token": "HsXI8gp1B5F2d5EDnGy3Tw", "token_type": "bearer", "expires_in": 3600}


WHERE = "Settings, Webhooks/API, API token"


def answer(
    document: object,
    *,
    status: int = 200,
    media_type: str = "application/json",
    cut: str = "",
    **headers: str,
) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, httpx.Headers({"Content-Type": media_type, **named}), body, cut)


def parse(given_answer: Answer) -> Token:
    return parse_token_response(given_answer, credentials=CREDENTIALS, epoch=NOW)


def refused(given_answer: Answer) -> TokenRequestError:
    with pytest.raises(TokenRequestError) as caught:
        parse(given_answer)
    error = caught.value
    assert error.__context__ is None
    assert type(error) is TokenRequestError
    assert error.domain == DOMAIN
    assert error.status == given_answer.status
    assert f"the token endpoint of {DOMAIN} answered {given_answer.status}" in str(error)
    assert str(error).isprintable()
    return error
