"""What goes silently wrong in a program is told once, as a warning."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.clients import CLIENT_ID, Client, auth_for
from tests.support.clock import Clock
from tests.support.servers import Server, api_server
from thebase_auth import TheBaseAuth

Warnings = Callable[[], list[str]]


def test_auth_objects_that_are_made_for_each_call_are_warned_of_once(
    client: Client, warnings: Warnings
) -> None:
    with api_server() as (server, api):
        for _ in range(3):
            assert client.get(auth_for(server.url), server.url + "/a").status == 200
    assert api.token_requests == 3
    assert len(warnings()) == 1
    assert "Make one and keep it" in warnings()[0]
    assert CLIENT_ID in warnings()[0]


def test_one_auth_object_that_fetches_often_gives_no_warning(client: Client, warnings: Warnings) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        for _ in range(3):
            api.revoke()
            assert client.get(auth, server.url + "/a").status == 200
    assert warnings() == []


def test_nor_are_several_objects_that_fetch_after_more_than_a_minute(
    client: Client, warnings: Warnings, clock: Clock
) -> None:
    with api_server() as (server, _):
        for _ in range(3):
            assert client.get(auth_for(server.url), server.url + "/a").status == 200
            clock.now += 61
    assert warnings() == []


def test_nor_are_objects_for_different_domains(client: Client, warnings: Warnings) -> None:
    with api_server() as (one, _), api_server() as (other, _):
        for server in (one, other):
            assert client.get(auth_for(server.url), server.url + "/a").status == 200
    assert warnings() == []


def test_nor_are_many_that_share_a_token(
    client: Client, warnings: Warnings, tmp_path: pytest.TempPathFactory
) -> None:
    from thebase_auth.caches import FileTokenCache

    cache = FileTokenCache(f"{tmp_path}/token")
    with api_server() as (server, api):
        for _ in range(3):
            assert client.get(auth_for(server.url, cache=cache), server.url + "/a").status == 200
    assert api.token_requests == 1
    assert warnings() == []


def test_a_401_of_a_host_that_is_not_the_domain_is_warned_of_once_with_both_names(
    client: Client, warnings: Warnings
) -> None:
    with Server(lambda _: (401, {}, b"who are you")).running() as other:
        auth = auth_for("acme.thebase.co.il")
        for _ in range(3):
            assert client.get(auth, other.url + "/a").status == 401
    assert len(warnings()) == 1
    assert "127.0.0.1 answered 401" in warnings()[0]
    assert "acme.thebase.co.il" in warnings()[0]


@pytest.mark.parametrize("status", [200, 403, 404])
def test_another_answer_of_another_host_gives_no_warning(
    client: Client, warnings: Warnings, status: int
) -> None:
    with Server(lambda _: (status, {}, b"")).running() as other:
        client.get(auth_for("acme.thebase.co.il"), other.url + "/a")
    assert warnings() == []


def test_nor_is_a_401_of_another_host_to_what_the_user_has_signed(client: Client, warnings: Warnings) -> None:
    with Server(lambda _: (401, {}, b"")).running() as other:
        auth = auth_for("acme.thebase.co.il")
        client.get(auth, other.url + "/a", headers={"Authorization": "Bearer of-the-user"})
    assert warnings() == []


@pytest.mark.parametrize(
    ("domain", "name"),
    [("https://ACME.thebase.co.il/", "acme.thebase.co.il"), ("localhost:8443", "localhost:8443")],
)
def test_an_auth_object_says_whose_it_is(domain: str, name: str) -> None:
    auth = TheBaseAuth(domain, "id..", "secret..")
    assert (auth.domain, auth.client_id) == (name, "id..")
    with pytest.raises(AttributeError):
        auth.domain = "other"  # type: ignore[misc]
