"""The token endpoint of those who mock HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import requests
import requests_mock
import responses
import respx

from thebase_auth import TheBaseAuth
from thebase_auth.testing import mock_token_endpoint

DOMAIN = "acme.thebase.co.il"
USERS = f"https://{DOMAIN}/v2/users"
REJECTED, ACCEPTED = {"Authorization": "Bearer token-1"}, {"Authorization": "Bearer token-2"}


def assert_renewal(mock: Any, session: Any, lent: requests.Session | None = None) -> None:
    """The mock, which has the calls already, gives a token and, once that is rejected, another."""
    endpoint = mock_token_endpoint(mock, DOMAIN)
    session.auth = TheBaseAuth(DOMAIN, "id", "secret", session=lent)
    assert session.get(USERS).status_code == 200
    assert endpoint.call_count == 2


@pytest.mark.parametrize("mock", [responses, responses.RequestsMock()], ids=["the module", "an object"])
def test_renewal_with_responses(mock: Any) -> None:
    matcher = responses.matchers.header_matcher
    with responses.mock if mock is responses else mock, requests.Session() as session:
        mock.get(USERS, status=401, match=[matcher(REJECTED)])
        mock.get(USERS, match=[matcher(ACCEPTED)])
        assert_renewal(mock, session)


@pytest.mark.parametrize("mock", [respx, respx.mock()], ids=["the module", "a router"])
def test_renewal_with_respx(mock: Any) -> None:
    with respx.mock if mock is respx else mock, httpx.Client() as client:
        mock.get(USERS, headers=REJECTED).respond(401)
        mock.get(USERS, headers=ACCEPTED).respond(200)
        assert_renewal(mock, client)


@pytest.mark.parametrize("lent", [None, requests.Session()], ids=["all sessions", "a session"])
def test_renewal_with_requests_mock(lent: requests.Session | None) -> None:
    with requests_mock.Mocker(session=lent) as mock:
        mock.get(USERS, status_code=401, request_headers=REJECTED)
        mock.get(USERS, request_headers=ACCEPTED)
        assert_renewal(mock, lent or requests.Session(), lent)
        assert [one.method for one in mock.request_history] == ["POST", "GET", "POST", "GET"]


def test_renewal_with_pytest_httpx(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pytest_httpx")
    httpx_mock = request.getfixturevalue("httpx_mock")
    httpx_mock.add_response(url=USERS, status_code=401, match_headers=REJECTED)
    httpx_mock.add_response(url=USERS, match_headers=ACCEPTED)
    with httpx.Client() as client:
        assert_renewal(httpx_mock, client)


class LikePytestHttpx:
    """As much of its `httpx_mock` as is used, since it is not installed with the other tests."""

    def add_callback(self, callback: Any, **matchers: Any) -> None:
        self.callback, self.matchers = callback, matchers

    add_response = add_callback

    def response(self, request: httpx.Request) -> httpx.Response:
        if request.method == self.matchers["method"] and str(request.url) == self.matchers["url"]:
            return self.callback(request)
        return httpx.Response(401 if request.headers["Authorization"] == "Bearer token-1" else 200)


def test_renewal_with_what_is_like_pytest_httpx() -> None:
    mock = LikePytestHttpx()
    with httpx.Client(transport=httpx.MockTransport(mock.response)) as client:
        assert_renewal(mock, client)
    assert mock.matchers["is_reusable"]
    assert mock.matchers["is_optional"]


def test_token_endpoint_may_stay_unused_in_responses_until_forget() -> None:
    auth = TheBaseAuth(DOMAIN, "id", "secret")
    for count in (1, 0, 1):  # tests of an application with one auth object
        with responses.RequestsMock() as mock:
            endpoint = mock_token_endpoint(mock, DOMAIN)
            mock.get(USERS)
            assert requests.get(USERS, auth=auth, timeout=5).status_code == 200
        assert endpoint.call_count == count
        if count == 0:
            auth.forget()


def test_token_endpoint_may_stay_unused_in_respx() -> None:
    with respx.mock(assert_all_called=True) as mock:
        assert mock_token_endpoint(mock, DOMAIN).call_count == 0


def test_token_endpoint_may_stay_unused_in_pytest_httpx(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pytest_httpx")
    assert mock_token_endpoint(request.getfixturevalue("httpx_mock"), DOMAIN).call_count == 0


@pytest.mark.parametrize("domain", [DOMAIN, f"https://{DOMAIN}/", DOMAIN.upper()])
@pytest.mark.parametrize("expires_in", [0, None])
def test_token_response_is_as_asked_for_and_comes_first(domain: str, expires_in: Any) -> None:
    with responses.RequestsMock() as mock:
        mock_token_endpoint(mock, domain, expires_in=expires_in)
        mock.post(f"https://{DOMAIN}/oauth/token", status=503)  # of the test's own
        first, second = (requests.post(f"https://{DOMAIN}/oauth/token", timeout=5) for _ in range(2))
    assert first.headers["Content-Type"] == "application/json"
    assert first.json() == {"access_token": "token-1", "token_type": "bearer", "expires_in": expires_in}
    assert second.status_code == 503


def test_other_domains_and_other_objects_are_rejected() -> None:
    with pytest.raises(ValueError, match="domain"):
        mock_token_endpoint(responses, "acme.thebase.co.il/v2")
    with pytest.raises(
        TypeError, match="responses, requests-mock, respx or pytest-httpx, not of type object"
    ):
        mock_token_endpoint(object(), DOMAIN)
