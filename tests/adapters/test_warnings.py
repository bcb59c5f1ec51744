"""Two mistakes in a program that nothing else shows are logged as warnings, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.clients import CLIENT_ID, Client, auth_for
from tests.support.servers import Server, api_server
from tests.support.world import DOMAIN, World
from thebase_auth.caches import FileTokenCache

Warnings = Callable[[], list[str]]


# One client, several auth objects


def test_auth_objects_that_are_made_for_each_call_are_warned_of_once(
    client: Client, warnings: Warnings
) -> None:
    world = World()
    logged = []
    for _ in range(3):
        assert world.get(client, auth_for(DOMAIN, session=world.session())) == 200
        logged.append(len(warnings()))
    assert logged == [0, 1, 1]
    [message] = warnings()
    assert message == (
        f"several TheBaseAuth objects of this process have each fetched an access token from {DOMAIN} for the"
        f" client id {CLIENT_ID}. Make one and keep it: one object serves any number of sessions, clients,"
        " threads and tasks, and fetches a token only when one is needed. This warning is not repeated."
    )


def test_one_auth_object_that_fetches_often_is_not_warned_of(client: Client, warnings: Warnings) -> None:
    world = World()
    auth = auth_for(DOMAIN, session=world.session())
    for _ in range(3):
        world.live.clear()
        assert world.get(client, auth) == 200
    assert warnings() == []


def test_auth_objects_for_different_domains_are_not_warned_of(client: Client, warnings: Warnings) -> None:
    world = World()
    for domain in (DOMAIN, "other.thebase.co.il"):
        assert world.get(client, auth_for(domain, session=world.session()), f"https://{domain}/a") == 200
    assert warnings() == []


def test_auth_objects_with_a_cache_are_not_warned_of(
    client: Client, warnings: Warnings, tmp_path: Path
) -> None:
    world = World()
    for _ in range(3):
        cache = FileTokenCache(tmp_path / "tokens")
        world.live.clear()
        assert world.get(client, auth_for(DOMAIN, session=world.session(), cache=cache)) == 200
    assert warnings() == []


def test_auth_objects_for_a_loopback_host_are_not_warned_of(client: Client, warnings: Warnings) -> None:
    with api_server() as (server, _):
        for _ in range(3):
            assert client.get(auth_for(server.url), server.url + "/a").status == 200
    assert warnings() == []


# Calls to a host that is not the domain


def test_other_responses_of_another_host_are_not_warned_of(client: Client, warnings: Warnings) -> None:
    with Server(lambda _: (403, {}, b"")).running() as other:
        client.get(auth_for(DOMAIN), other.url + "/a")
    assert warnings() == []


def test_401_of_another_host_to_a_header_of_the_user_is_not_warned_of(
    client: Client, warnings: Warnings
) -> None:
    with Server(lambda _: (401, {}, b"")).running() as other:
        client.get(auth_for(DOMAIN), other.url + "/a", headers={"Authorization": "Bearer of-the-user"})
    assert warnings() == []
