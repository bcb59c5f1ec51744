"""Where the token and the secret may go: to the domain, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.support.clients import CLIENT_SECRET, Client, auth_for
from tests.support.servers import BASIC, Received, Response, Server, api_server
from tests.support.world import LIBRARIES, World
from thebase_auth import PlainHTTPError, TokenRequestError


def respond_401(request: Received) -> Response:
    return 401, {}, b"who are you"


def redirect_to(url: str, status: int = 307) -> Response:
    return status, {"Location": url}, b""


def test_request_to_another_host_is_unsigned_and_its_401_renews_nothing(client: Client) -> None:
    with api_server() as (server, api), Server(respond_401).running() as other:
        auth = auth_for(server.url)
        looks_like_ours = other.url.replace("//", f"//{server.url.removeprefix('http://')}@")
        for token_requests, url in enumerate((other.url, looks_like_ours)):
            reply = client.post(auth, url + "/a", b"body")
            assert (reply.status, reply.history) == (401, [])
            assert api.token_requests == token_requests
            client.get(auth, server.url + "/warm-up")
    assert len(other.received) == 2
    assert not [one for one in other.received if "Bearer" in (one.authorization or "")]


def test_redirect_to_another_host_is_unsigned_and_its_401_renews_nothing(client: Client) -> None:
    with api_server() as (server, api), Server(respond_401).running() as other:
        api.responses["/away"] = redirect_to(other.url + "/there", 302)
        auth = auth_for(server.url)
        for revoked in (False, True):
            if revoked:
                api.revoke()
            reply = client.get(auth, server.url + "/away", follow_redirects=True)
            assert (reply.status, reply.body) == (401, b"who are you")
    assert [one.authorization for one in other.received] == [None, None]
    assert api.token_requests == 2


def test_redirect_to_another_port_of_the_domain_carries_no_token(client: Client, certificates: Any) -> None:
    """Another port is another service, also on the same host."""
    with (
        api_server(**certificates.tls) as (server, api),
        Server(respond_401).running(**certificates.tls) as other,
    ):
        api.responses["/away"] = redirect_to(other.url + "/there")
        auth, verify = client.over_tls(server.url, certificates)
        reply = client.get(auth, server.url + "/away", verify=verify, follow_redirects=True)
    assert (reply.status, reply.body) == (401, b"who are you")
    assert [one.authorization for one in server.to("/away")] == ["Bearer token-1"]
    assert [one.authorization for one in other.received] == [None]
    assert api.token_requests == 1


@pytest.mark.parametrize("with_netrc", [False, True])
@pytest.mark.parametrize("first", ["the domain", "another host"])
def test_redirect_by_another_host_to_the_domain_is_not_signed(
    client: Client, first: str, with_netrc: bool, request: pytest.FixtureRequest
) -> None:
    """Otherwise any host could make us send what it likes in our name."""
    if with_netrc:
        request.getfixturevalue("netrc")
    with api_server() as (server, api), Server(lambda _: back).running() as other:
        back = redirect_to(server.url + "/delete")
        elsewhere = other.url.replace("127.0.0.1", "localhost") + "/there"
        api.responses["/away"] = redirect_to(elsewhere)
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        url = server.url + "/away" if first == "the domain" else elsewhere
        reply = client.send(auth, "DELETE", url, follow_redirects=True)
    assert reply.status == 401
    [deletion] = server.to("/delete")
    assert "Bearer" not in (deletion.authorization or "")
    assert api.token_requests == 1


def test_plain_http_to_the_domain_is_an_error_before_anything_is_sent(client: Client) -> None:
    auth = auth_for("acme.thebase.co.il")
    url = "http://user:pass@acme.thebase.co.il/v2/users"
    with pytest.raises(client.error) as caught:
        client.get(auth, url)
    assert isinstance(caught.value, PlainHTTPError)
    error: Any = caught.value  # whose request is of its library
    assert str(error) == (
        "a request to acme.thebase.co.il over http:// was not sent, because anyone on the way could read its"
        " token; write https:// in its URL"
    )
    assert str(error.request.url).endswith("acme.thebase.co.il/v2/users")  # aiohttp removes user-info


def test_domain_gets_the_token_over_tls_however_its_url_is_spelled(client: Client, certificates: Any) -> None:
    with api_server(**certificates.tls) as (server, _):
        auth, verify = client.over_tls(server.url, certificates)
        for url in (server.url, server.url.upper(), server.url.replace("://", "://user:pass@")):
            assert client.get(auth, url + "/a", verify=verify).status == 200
        with pytest.raises(PlainHTTPError):
            client.get(auth, server.url.replace("https", "http") + "/a")
    assert [one.authorization for one in server.to("/a")] == ["Bearer token-1"] * 3


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("where", ["another host", "the same host"])
def test_redirect_of_the_token_endpoint_is_not_followed_to_a_token(
    client: Client, follow: bool, where: str
) -> None:
    with api_server() as (server, _), api_server() as (other, _):
        target = other if where == "another host" else server

        def redirect(request: Received) -> Response:
            if request.path == "/oauth/token":
                return redirect_to(target.url + "/elsewhere")
            return 200, {}, b'{"access_token": "stolen"}'

        server.handler = other.handler = redirect
        auth = auth_for(server.url)
        with pytest.raises(TokenRequestError, match="It redirects") as caught:
            client.get(auth, server.url + "/a", follow_redirects=follow)
    assert caught.value.status == 307
    assert auth.token is None
    assert server.to("/a") == []
    # httpx makes the next request before we see the redirect, and keeps the header on the same host.
    carried = 2 if follow and target is server and client.follows_token_redirects else 1
    assert [one.authorization for one in server.received if one.authorization] == [BASIC] * carried
    assert not [one for one in other.received if one.authorization or CLIENT_SECRET in one.body.decode()]


@pytest.mark.parametrize("library", [requests, *LIBRARIES])
def test_hebrew_domain_gets_the_token(library: Any) -> None:
    domain = "לקוח.example"  # which the libraries send as xn--9dben8b.example
    session = World().session()
    auth = auth_for(domain, session=session)
    with session if library is requests else World().client(library, auth) as client:
        client.auth = auth
        response = client.get(f"https://{domain}/v2/users")
    assert response.status_code == 200
    assert response.request.headers["Authorization"] == "Bearer token-1"
