"""A token endpoint that rejects a client is left alone for a while; all waiters share its response."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.callers import wait_until_waiting
from tests.support.clients import CLIENTS, Client, auth_for
from tests.support.clock import Clock
from tests.support.servers import Received, Response, api_server
from thebase_auth import TokenRequestError


def reject(request: Received) -> Response:
    return 401, {}, b'{"error": "invalid_client"}'


def retry_after_of(client: Client, auth: Any, url: str) -> float | None:
    with pytest.raises(client.error) as caught:
        client.get(auth, url)
    assert isinstance(caught.value, TokenRequestError)
    assert (caught.value.status, caught.value.error) == (401, "invalid_client")
    return caught.value.retry_after


def test_pause_after_a_rejection_doubles_up_to_a_minute(client: Client, clock: Clock) -> None:
    with api_server() as (server, api):
        server.handler = reject
        auth, url = auth_for(server.url), server.url + "/a"
        assert retry_after_of(client, auth, url) == 1
        for asked, seconds in enumerate((1, 2, 4, 8, 16, 32, 60, 60), 1):
            clock.now += seconds - 0.25
            assert retry_after_of(client, auth, url) == 0.25
            assert len(server.received) == asked
            clock.now += 0.25
            assert retry_after_of(client, auth, url) == min(2 * seconds, 60)
            assert len(server.received) == asked + 1
        clock.now += 60
        server.handler = api
        assert client.get(auth, url).status == 200
        api.revoke()
        server.handler = reject
        assert retry_after_of(client, auth, url) == 1  # it starts again


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
