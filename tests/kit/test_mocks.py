"""The token endpoint of those who mock HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import requests
import requests_mock
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


@pytest.mark.parametrize("session", [None, requests.Session()], ids=["all", "a session"])
def test_with_requests_mock_a_mocker_and_a_renewal(session: requests.Session | None) -> None:
    with requests_mock.Mocker(session=session) as mock:
        endpoint = mock_token_endpoint(mock, DOMAIN)
        for number, status in ((1, 401), (2, 200)):
            headers = {"Authorization": f"Bearer token-{number}"}
            mock.get(USERS, status_code=status, request_headers=headers)
        auth = thebase_auth.requests.TheBaseAuth(DOMAIN, "id", "secret", session=session)
        assert (session or requests).get(USERS, auth=auth, timeout=5).status_code == 200
        assert endpoint.call_count == 2
        assert [one.method for one in mock.request_history] == ["POST", "GET", "POST", "GET"]


def test_token_endpoint_may_stay_unused_in_responses() -> None:
    auth = thebase_auth.requests.TheBaseAuth(DOMAIN, "id", "secret")
    for count in (1, 0):  # the second test of an application with one auth object
        with responses.RequestsMock() as mock:
            endpoint = mock_token_endpoint(mock, DOMAIN)
            mock.get(USERS)
            assert requests.get(USERS, auth=auth, timeout=5).status_code == 200
        assert endpoint.call_count == count


def test_forget_makes_the_next_test_request_a_token() -> None:
    auth = thebase_auth.requests.TheBaseAuth(DOMAIN, "id", "secret")
    for _ in range(2):
        auth.forget()
        with responses.RequestsMock() as mock:
            endpoint = mock_token_endpoint(mock, DOMAIN)
            mock.get(USERS)
            requests.get(USERS, auth=auth, timeout=5)
        assert endpoint.call_count == 1


def test_token_endpoint_may_stay_unused_in_respx() -> None:
    with respx.mock(assert_all_called=True) as mock:
        assert mock_token_endpoint(mock, DOMAIN).call_count == 0


def test_token_endpoint_may_stay_unused_in_pytest_httpx(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pytest_httpx")
    assert mock_token_endpoint(request.getfixturevalue("httpx_mock"), DOMAIN).call_count == 0


def test_a_second_token_response_of_yours_comes_second() -> None:
    with responses.RequestsMock() as mock:
        mock_token_endpoint(mock, DOMAIN)
        mock.post(f"https://{DOMAIN}/oauth/token", status=503)
        sent = [requests.post(f"https://{DOMAIN}/oauth/token", timeout=5) for _ in range(2)]
    assert [response.status_code for response in sent] == [200, 503]


def test_with_requests_mock_an_adapter() -> None:
    session, adapter = requests.Session(), requests_mock.Adapter()
    endpoint = mock_token_endpoint(adapter, DOMAIN)
    adapter.register_uri("GET", USERS, request_headers={"Authorization": "Bearer token-1"})
    session.mount("https://", adapter)
    auth = thebase_auth.requests.TheBaseAuth(DOMAIN, "id", "secret", session=session)
    assert session.get(USERS, auth=auth).status_code == 200
    assert endpoint.call_count == 1


def test_with_pytest_httpx_and_a_renewal(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pytest_httpx")
    httpx_mock = request.getfixturevalue("httpx_mock")
    endpoint = mock_token_endpoint(httpx_mock, DOMAIN)
    for number, status in ((1, 401), (2, 200)):
        headers = {"Authorization": f"Bearer token-{number}"}
        httpx_mock.add_response(status_code=status, url=USERS, match_headers=headers)
    assert get_with_httpx() == 200
    assert endpoint.call_count == 2


class LikePytestHttpx:
    """As much of its `httpx_mock` as is used, since it is not installed with the other tests."""

    def __init__(self) -> None:
        self.transport = httpx.MockTransport(self.response)

    def add_callback(self, callback: Any, **matchers: Any) -> None:
        self.callback, self.matchers = callback, matchers

    def add_response(self, status_code: int = 200, **matchers: Any) -> None:
        raise NotImplementedError

    def response(self, request: httpx.Request) -> httpx.Response:
        if str(request.url) == self.matchers["url"]:
            assert request.method == self.matchers["method"]
            return self.callback(request)
        return httpx.Response(401 if request.headers["Authorization"] == "Bearer token-1" else 200)


def test_with_what_is_like_pytest_httpx_and_a_renewal() -> None:
    mock = LikePytestHttpx()
    endpoint = mock_token_endpoint(mock, DOMAIN)
    auth = thebase_auth.httpx.TheBaseAuth(DOMAIN, "id", "secret")
    with httpx.Client(transport=mock.transport, auth=auth) as client:
        assert client.get(USERS).status_code == 200
    assert endpoint.call_count == 2
    assert mock.matchers["is_reusable"]
    assert mock.matchers["is_optional"]


@pytest.mark.parametrize("domain", [DOMAIN, f"https://{DOMAIN}/", DOMAIN.upper()])
@pytest.mark.parametrize("expires_in", [3600, 0, None])
@responses.activate
def test_the_domain_is_taken_as_the_plugin_takes_it(domain: str, expires_in: Any) -> None:
    mock_token_endpoint(responses, domain, expires_in=expires_in)
    response = requests.post(f"https://{DOMAIN}/oauth/token", timeout=5)
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {"access_token": "token-1", "token_type": "bearer", "expires_in": expires_in}


def test_what_is_not_a_domain_is_rejected() -> None:
    with pytest.raises(ValueError, match="domain"):
        mock_token_endpoint(responses, "acme.thebase.co.il/v2")


def test_what_is_of_no_such_library_is_rejected() -> None:
    text = "must be of responses, requests-mock, respx or pytest-httpx, not of type object"
    nothing: Any = object()
    with pytest.raises(TypeError, match=text):
        mock_token_endpoint(nothing, DOMAIN)
