"""Where a token and the secret may go, on real sockets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.clients import CLIENT_SECRET, AsyncHttpx, Client, auth_for
from tests.support.servers import BASIC, Answer, Received, Server, api_server
from tests.support.world import LIBRARIES
from thebase_auth import PlainHTTPError, TokenRequestError


def answer_401(request: Received) -> Answer:
    return 401, {}, b"who are you"


def test_a_request_to_another_host_goes_out_unsigned(client: Client) -> None:
    with api_server() as (server, api), Server(answer_401).running() as other:
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        reply = client.post(auth, other.url + "/a", b"body")
    assert (reply.status, reply.history) == (401, [])
    assert [one.authorization for one in other.received] == [None]
    assert api.token_requests == 1


def test_no_token_is_fetched_for_another_host(client: Client) -> None:
    with api_server() as (server, api), Server(answer_401).running() as other:
        client.get(auth_for(server.url), other.url + "/a")
    assert api.token_requests == 0


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_host_takes_no_token_along_and_its_401_renews_nothing(
    client: Client, status: int
) -> None:
    with api_server() as (server, api), Server(answer_401).running() as other:
        api.answers["/away"] = (status, {"Location": other.url + "/there"}, b"")
        auth = auth_for(server.url)
        for revoked in (False, True):
            if revoked:
                api.revoke()
            reply = client.get(auth, server.url + "/away", follow_redirects=True)
            assert (reply.status, reply.body) == (401, b"who are you")
    assert [one.authorization for one in other.received] == [None, None]
    assert api.token_requests == 2


def test_a_redirect_from_another_host_to_the_domain_is_not_signed(client: Client) -> None:
    """Else any host could make us send what it likes in our name."""
    with api_server() as (server, api):

        def redirect(request: Received) -> Answer:
            return 307, {"Location": server.url + "/delete"}, b""

        with Server(redirect).running() as other:
            auth = auth_for(server.url)
            client.get(auth, server.url + "/warm-up")
            reply = client.send(auth, "DELETE", other.url + "/a", follow_redirects=True)
    assert reply.status == 401
    assert [one.authorization for one in server.to("/delete")] == [None]
    assert api.token_requests == 1


def test_there_and_back_again_is_not_signed_a_second_time(client: Client) -> None:
    with api_server() as (server, api):

        def back(request: Received) -> Answer:
            return 302, {"Location": server.url + "/back"}, b""

        with Server(back).running() as other:
            api.answers["/away"] = (302, {"Location": other.url + "/there"}, b"")
            auth = auth_for(server.url)
            reply = client.get(auth, server.url + "/away", follow_redirects=True)
    assert reply.status == 401
    assert [one.authorization for one in server.to("/back")] == [None]
    assert api.token_requests == 1


def test_a_plain_http_request_to_the_domain_is_an_error_before_it_is_sent(client: Client) -> None:
    auth = auth_for("acme.thebase.co.il")
    with pytest.raises(client.error, match="acme.thebase.co.il.*https://") as caught:
        client.get(auth, "http://acme.thebase.co.il/v2/users")
    assert isinstance(caught.value, PlainHTTPError)
    assert caught.value.domain == "acme.thebase.co.il"
    refused: Any = caught.value  # whose request is of its library
    assert str(refused.request.url) == "http://acme.thebase.co.il/v2/users"


def test_over_tls_the_domain_gets_the_token_and_plain_http_to_it_is_stopped(
    client: Client, certificates: Any
) -> None:
    with api_server(**certificates.tls) as (server, _):
        auth, verify = tls_auth(client, server.url, certificates)
        assert client.get(auth, server.url + "/a", verify=verify).status == 200
        assert client.get(auth, server.url.upper() + "/a", verify=verify).status == 200
        with pytest.raises(PlainHTTPError):
            client.get(auth, server.url.replace("https", "http") + "/a")
    assert {one.authorization for one in server.to("/a")} == {"Bearer token-1"}


def tls_auth(client: Client, domain: str, certificates: Any) -> tuple[Any, Any]:
    """An auth object, and the ``verify`` for its calls, that trust the private authority."""
    if client.name != "requests":
        return auth_for(domain), certificates.context
    import requests

    session = requests.Session()
    session.verify = certificates.authority
    return auth_for(domain, session=session), certificates.authority


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_port_of_the_domain_takes_no_token_along(
    client: Client, certificates: Any, status: int
) -> None:
    """Another port is another service, also over TLS and on the same host."""
    with (
        api_server(**certificates.tls) as (server, api),
        Server(answer_401).running(**certificates.tls) as other,
    ):
        api.answers["/away"] = (status, {"Location": other.url + "/there"}, b"")
        auth, verify = tls_auth(client, server.url, certificates)
        reply = client.get(auth, server.url + "/away", verify=verify, follow_redirects=True)
    assert (reply.status, reply.body) == (401, b"who are you")
    assert [one.authorization for one in server.to("/away")] == ["Bearer token-1"]
    assert [one.authorization for one in other.received] == [None]
    assert api.token_requests == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("where", ["another host", "the same host"])
def test_a_token_endpoint_that_redirects_is_not_obeyed(
    client: Client, status: int, follow: bool, where: str
) -> None:
    def give_a_token(request: Received) -> Answer:
        return 200, {}, json.dumps({"access_token": "stolen", "token_type": "bearer"}).encode()

    with Server(give_a_token).running() as other, Server(give_a_token).running() as server:
        target = (other.url if where == "another host" else server.url) + "/elsewhere"

        def redirect(request: Received) -> Answer:
            if request.path == "/oauth/token":
                return status, {"Location": target}, b""
            return give_a_token(request)

        server.handler = redirect
        auth = auth_for(server.url)
        with pytest.raises(client.error, match="redirects") as caught:
            client.get(auth, server.url + "/a", follow_redirects=follow)
    assert isinstance(caught.value, TokenRequestError)
    assert caught.value.status == status
    assert auth.token is None
    assert server.to("/a") == []
    # httpx makes the next request before we see the redirect, and keeps the header on the same host.
    carried = 2 if follow and where == "the same host" and client.name != "requests" else 1
    assert [one.authorization for one in server.received if one.authorization] == [BASIC] * carried
    assert not [one for one in other.received if one.authorization]
    assert not [one for one in other.received if CLIENT_SECRET in one.body.decode()]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_followed_redirect_without_a_network_leaves_no_secret_in_a_request(library: Any) -> None:
    """Doubles of the transport do not tell when they have sent; what they kept is cleaned after."""
    seen: list[Any] = []

    def handler(request: Any) -> Any:
        seen.append(request)
        if request.url.path == "/oauth/token":
            return library.Response(307, headers={"Location": "/oauth/token/"})
        return library.Response(200, json={"access_token": "stolen", "token_type": "bearer"})

    transport = library.MockTransport(handler)
    with (
        library.Client(
            auth=auth_for("acme.thebase.co.il"), transport=transport, follow_redirects=True
        ) as client,
        pytest.raises(TokenRequestError, match="redirects"),
    ):
        client.get("https://acme.thebase.co.il/v2/users")
    assert len(seen) == 2
    assert not [request for request in seen if "Authorization" in request.headers]


def test_user_info_in_a_url_changes_nothing(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        url = server.url.replace("://", "://user:pass@") + "/a"
        for _ in range(2):
            assert client.get(auth, url).status == 200
            api.revoke()
    assert {one.authorization for one in server.to("/a")} <= {f"Bearer token-{n}" for n in (1, 2)}
    with pytest.raises(PlainHTTPError):
        client.get(auth_for("acme.thebase.co.il"), "http://user:pass@acme.thebase.co.il/")


def test_the_domain_may_be_an_international_name(client: Client) -> None:
    """The libraries encode a Hebrew host; the token must still find its way."""
    if isinstance(client, AsyncHttpx):
        pytest.skip("the sync forms suffice: the same code compares")
    import httpx
    import httpx2
    import requests
    import responses

    domain = "לקוח.example"
    punycode = "xn--9dben8b.example"
    auth = auth_for(domain)
    token = {"access_token": "abc", "token_type": "bearer"}
    if client.name == "requests":
        with responses.RequestsMock() as mock:
            mock.post(f"https://{punycode}/oauth/token", json=token)
            mock.get(f"https://{punycode}/v2/users", json={})
            response: Any = requests.get(f"https://{domain}/v2/users", auth=auth, timeout=5)
            assert response.request.headers["Authorization"] == "Bearer abc"
        return
    library: Any = {"httpx": httpx, "httpx2": httpx2}[client.name]
    seen = []

    def handler(request: Any) -> Any:
        seen.append((request.url.raw_host.decode(), request.headers.get("Authorization")))
        return library.Response(200, json=token)

    with library.Client(auth=auth, transport=library.MockTransport(handler)) as open_client:
        open_client.get(f"https://{domain}/v2/users")
    assert seen == [(punycode, BASIC), (punycode, "Bearer abc")]


def test_a_netrc_does_not_make_ours_what_another_host_redirects_to_the_domain(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password netrc-secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    with api_server() as (server, api):
        there = (302, {"Location": server.url + "/danger"}, b"")
        with Server(lambda _: there).running() as other, requests.Session() as session:
            session.auth = auth_for(server.url)
            url = other.url.replace("127.0.0.1", "localhost")
            assert session.get(url, timeout=10).status_code == 401
    assert api.token_requests == 0
