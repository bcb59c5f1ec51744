"""A challenge that says insufficient_scope (RFC 6750 section 3.1) is believed at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.support.clients import (
    CLIENTS,
    Client,
    one_time_body,
)
from tests.support.clock import Clock
from tests.support.forbidding import forbidding
from tests.support.servers import Answer, Received, Server
from tests.support.world import LIBRARIES
from thebase_auth._refusals import (
    lacks_scope,
)

# The challenge


SCOPE = 'Bearer realm="ORDS", error="insufficient_scope", scope="products"'


def test_insufficient_scope_costs_nothing_but_the_call(
    client: Client, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, "/no", challenge=SCOPE) as (server, api, auth):
        for _ in range(3):
            reply = client.post(auth, server.url + "/no", b"body")
            assert (reply.status, reply.body, reply.history) == (401, b"no right", [])
        body = one_time_body(client)
        assert client.post(auth, server.url + "/no", body).body == b"no right"
    assert api.token_requests == 1
    assert [one.authorization for one in server.to("/no")] == ["Bearer token-1"] * 4
    assert auth.token.access_token == "token-1"
    (text,) = warnings()
    assert "POST /no on " in text


def test_insufficient_scope_makes_no_other_endpoint_wait(client: Client) -> None:
    with forbidding(client, "/no", challenge=SCOPE) as (server, api, auth):
        client.get(auth, server.url + "/no")
        api.revoke()
        assert client.get(auth, server.url + "/yes").status == 200
        api.forbidden = ()
        api.revoke()
        assert client.get(auth, server.url + "/no").status == 200
    assert api.token_requests == 3


def test_insufficient_scope_may_be_the_answer_to_the_replay(
    client: Client, warnings: Callable[[], list[str]]
) -> None:
    with forbidding(client, challenge=SCOPE) as (server, api, auth):

        def expired_first(request: Received) -> Answer:
            api.forbidden = () if request.authorization == "Bearer token-1" else ("/no",)
            return api(request)

        api.revoke()
        server.handler = expired_first
        for _ in range(3):
            reply = client.get(auth, server.url + "/no")
            assert (reply.status, reply.body) == (401, b"no right")
    assert api.token_requests == 2
    assert len(server.to("/no")) == 4
    assert len(warnings()) == 1


def test_insufficient_scope_in_several_headers_is_found() -> None:
    # All three libraries make one of them, with commas.
    answer = requests.Response()
    answer.headers["WWW-Authenticate"] = f'Basic realm="x", {SCOPE}'
    assert lacks_scope(answer.headers.get("www-authenticate"))
    for library in LIBRARIES:
        headers = [("WWW-Authenticate", 'Basic realm="x"'), ("www-authenticate", SCOPE)]
        assert lacks_scope(library.Response(401, headers=headers).headers.get("WWW-Authenticate"))


@pytest.mark.parametrize("library", LIBRARIES)
def test_insufficient_scope_leaves_the_body_of_the_401_to_the_caller(
    library: Any,
) -> None:
    with forbidding(CLIENTS[0], "/no", challenge=SCOPE) as (server, _, auth):
        with library.Client(auth=auth) as http, http.stream("GET", server.url + "/no") as response:
            assert not response.is_stream_consumed
            assert b"".join(response.iter_raw()) == b"no right"


def test_insufficient_scope_leaves_the_body_of_the_401_to_the_caller_of_requests() -> None:
    with forbidding(CLIENTS[0], "/no", challenge=SCOPE) as (server, _, auth):
        with requests.get(server.url + "/no", auth=auth, stream=True, timeout=10) as response:
            assert response.raw.read() == b"no right"


def test_insufficient_scope_of_another_host_is_not_ours(
    client: Client, warnings: Callable[[], list[str]]
) -> None:
    elsewhere = Server(lambda _: (401, {"WWW-Authenticate": SCOPE}, b""))
    with forbidding(client) as (server, api, auth), elsewhere.running():
        api.answers["/a"] = (302, {"Location": elsewhere.url + "/a"}, b"")
        reply = client.get(auth, server.url + "/a", follow_redirects=True)
        assert reply.status == 401
        assert client.get(auth, elsewhere.url + "/a").status == 401
    assert warnings() == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_insufficient_scope_costs_nothing_where_a_hook_raises_because_of_it(
    library: Any, clock: Clock
) -> None:
    hooks = {"response": [lambda response: response.raise_for_status()]}
    with forbidding(CLIENTS[0], "/no", challenge=SCOPE) as (server, api, auth):
        with library.Client(auth=auth, event_hooks=hooks) as http:
            for _ in range(3):
                with pytest.raises(library.HTTPStatusError):
                    http.get(server.url + "/no")
    assert api.token_requests == 1
