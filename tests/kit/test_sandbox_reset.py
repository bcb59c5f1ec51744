"""A sandbox that is reset is as it was made."""

from __future__ import annotations

import threading

import httpx
import pytest

from tests.support.sandbox import PRODUCT, ask_token, bearer
from thebase_auth.testing import Sandbox, SandboxClient


def test_tokens_data_record_and_faults_are_forgotten(thebase: Sandbox, client: httpx.Client) -> None:
    token = bearer(thebase, client)
    client.post("/v2/products/create", json=PRODUCT, headers=token)
    thebase.answer_next("*", 503, times=5)
    thebase.delay_next("*", 600, times=5)
    thebase.reset()
    assert (thebase.received, thebase.token_requests) == ((), 0)
    assert client.get("/v2/users", headers=token).status_code == 401
    assert client.get("/v2/products/", headers=bearer(thebase, client)).json()["items"] == []
    assert thebase.token_requests == 1


def test_settings_and_clients_are_those_it_was_made_with(client: httpx.Client) -> None:
    made = {"expires_in": 7, "token_lifetime": 8.0, "single_token": True, "error_page_size": 9}
    thebase = Sandbox(**made, refused=["GET *"])  # type: ignore[arg-type]
    before = repr(thebase.clients)
    pair = (thebase.client_id, thebase.client_secret)
    thebase.expires_in, thebase.token_lifetime, thebase.single_token = "soon", 0, False
    thebase.error_page_size = 0
    thebase.client.refuse("/v2/users")
    thebase.limited_client.allow("DELETE *")
    thebase.client.client_id, thebase.client.client_secret = "id", "other"
    thebase.clients.append(SandboxClient())
    clients = thebase.clients
    thebase.reset()
    assert {name: getattr(thebase, name) for name in made} == made
    assert repr(thebase.clients) == before
    assert (thebase.client_id, thebase.client_secret) == pair
    assert len(clients) == 3
    assert not thebase.client.may("GET", "/v2/users")


def test_it_is_used_again_and_reset_again(thebase: Sandbox, client: httpx.Client) -> None:
    for _ in range(2):
        thebase.client.refuse("GET /v2/users")
        ask_token(thebase, client)
        thebase.assert_received("*", times=1)
        thebase.reset()
    thebase.client.refuse("GET /v2/users")


@pytest.mark.timeout(30)
def test_a_request_without_a_response_is_forgotten_and_gets_one(
    thebase: Sandbox, client: httpx.Client
) -> None:
    statuses: list[int] = []
    with thebase.hold_token_requests():
        waiting = threading.Thread(target=lambda: statuses.append(ask_token(thebase, client).status_code))
        waiting.start()
        thebase.wait_for_token_requests(1)
        thebase.reset()
        assert thebase.received == ()
    waiting.join()
    assert (thebase.received, statuses) == ((), [200])
