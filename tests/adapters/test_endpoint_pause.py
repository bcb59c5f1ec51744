"""A token endpoint that rejects a client is left alone for a while; all waiters share its response."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.callers import wait_until_waiting
from tests.support.clients import CLIENTS, Client, auth_for
from tests.support.clock import Clock
from tests.support.servers import Api, Received, Response, api_server
from thebase_auth import TokenRequestError


class RejectingEndpoint(Api):
    """An API whose token endpoint sends `response`, as long as there is one."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__()
        self.response: Response | None = (status, headers, body)
        self.asked = 0

    def give_token(self, request: Received) -> Response:
        self.asked += 1
        return self.response or super().give_token(request)


def rejected(client: Client, auth: Any, url: str) -> TokenRequestError:
    with pytest.raises(TokenRequestError) as caught:
        client.get(auth, url)
    assert isinstance(caught.value, client.error)
    return caught.value


def test_pause_after_a_rejection_doubles_up_to_a_minute(client: Client, clock: Clock) -> None:
    with api_server(RejectingEndpoint(401, {}, b'{"error": "invalid_client"}')) as (server, api):
        auth = auth_for(server.url)
        first = rejected(client, auth, server.url + "/a")
        for asked, seconds in enumerate((1, 2, 4, 8, 16, 32, 60, 60), 1):
            clock.now += seconds - 0.001
            again = rejected(client, auth, server.url + "/a")
            assert (again.status, again.error) == (first.status, first.error)
            assert api.asked == asked
            clock.now += 0.001
            assert rejected(client, auth, server.url + "/a").retry_after == min(2 * seconds, 60)
            assert api.asked == asked + 1
        rejection, api.response = api.response, None
        clock.now += 60
        assert client.get(auth, server.url + "/a").status == 200
        api.response = rejection
        api.revoke()
        assert rejected(client, auth, server.url + "/a").retry_after == 1  # it starts again


@pytest.mark.parametrize("leader", CLIENTS, ids=str)
@pytest.mark.parametrize("status", [401, 503])
def test_waiters_share_the_response_each_as_an_exception_of_their_library(
    leader: Client, status: int, thebase: Any
) -> None:
    auth = auth_for(thebase.domain)
    url = thebase.domain + "/v2/users"
    thebase.answer_next("POST /oauth/token", status)
    callers = [leader, *CLIENTS, *CLIENTS]
    with ThreadPoolExecutor(len(callers)) as pool, thebase.hold_token_requests():
        calls = [pool.submit(leader.get, auth, url, timeout=60)]
        thebase.wait_for_token_requests(1)
        calls += [pool.submit(client.get, auth, url, timeout=60) for client in callers[1:]]
        wait_until_waiting(auth, len(callers) - 1)
    errors: list[Any] = [one.exception() for one in calls]

    assert thebase.token_requests == 1
    assert len({id(one) for one in errors}) == len(callers)
    for error, client in zip(errors, callers, strict=True):
        assert isinstance(error, TokenRequestError)
        assert isinstance(error, client.error)
        assert error.status == status
