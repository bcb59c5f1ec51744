"""The token endpoint of those who mock with responses or respx."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import requests
import responses
import respx

import thebase_auth.httpx
import thebase_auth.requests
from thebase_auth.testing import mock_token_endpoint

DOMAIN = "acme.thebase.co.il"
USERS = f"https://{DOMAIN}/v2/users"


def get_with_requests() -> int:
    auth = thebase_auth.requests.TheBaseAuth(DOMAIN, "id", "secret")
    return requests.get(USERS, auth=auth, timeout=5).status_code


def get_with_httpx() -> int:
    auth = thebase_auth.httpx.TheBaseAuth(DOMAIN, "id", "secret")
    return httpx.get(USERS, auth=auth).status_code


@responses.activate
def test_with_responses_the_module() -> None:
    endpoint = mock_token_endpoint(responses, DOMAIN)
    match = responses.matchers.header_matcher({"Authorization": "Bearer token-1"})
    responses.get(USERS, json={"items": []}, match=[match])
    assert get_with_requests() == 200
    assert endpoint.call_count == 1


def test_with_responses_an_object_and_a_renewal() -> None:
    with responses.RequestsMock() as mock:
        endpoint = mock_token_endpoint(mock, DOMAIN)
        first, second = (
            responses.matchers.header_matcher({"Authorization": f"Bearer token-{number}"})
            for number in (1, 2)
        )
        mock.get(USERS, status=401, match=[first])
        mock.get(USERS, status=200, match=[second])
        assert get_with_requests() == 200
        assert endpoint.call_count == 2


def test_with_respx_a_router(respx_mock: respx.MockRouter) -> None:
    endpoint = mock_token_endpoint(respx_mock, DOMAIN)
    users = respx_mock.get(USERS).respond(json={"items": []})
    assert get_with_httpx() == 200
    assert endpoint.call_count == 1
    assert users.calls.last.request.headers["Authorization"] == "Bearer token-1"


@respx.mock
def test_with_respx_the_module_and_a_renewal() -> None:
    endpoint = mock_token_endpoint(respx, DOMAIN)
    respx.get(USERS, headers={"Authorization": "Bearer token-1"}).respond(401)
    respx.get(USERS, headers={"Authorization": "Bearer token-2"}).respond(200)
    assert get_with_httpx() == 200
    assert endpoint.call_count == 2


@pytest.mark.parametrize("domain", [DOMAIN, f"https://{DOMAIN}/", DOMAIN.upper()])
@pytest.mark.parametrize("expires_in", [3600, 0, None])
@responses.activate
def test_the_domain_is_taken_as_the_plugin_takes_it(domain: str, expires_in: Any) -> None:
    mock_token_endpoint(responses, domain, expires_in=expires_in)
    answer = requests.post(f"https://{DOMAIN}/oauth/token", timeout=5)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "access_token": "token-1",
        "token_type": "bearer",
        "expires_in": expires_in,
    }


def test_what_is_no_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="domain"):
        mock_token_endpoint(responses, "acme.thebase.co.il/v2")


def test_what_is_of_neither_library_is_refused() -> None:
    with pytest.raises(TypeError, match="must be of responses or of respx, not object"):
        mock_token_endpoint(object(), DOMAIN)
