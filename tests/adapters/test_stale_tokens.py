"""A token that lies dead in a cache fails no request: it is found out, and another one is fetched."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.clients import CLIENTS, Client, NotingAdapter, auth_for
from tests.support.servers import Answer, Received, Server, api_server
from thebase_auth._core.token import Token
from thebase_auth.caches import FileTokenCache
from thebase_auth.caches._record import RecordFormat


def two_that_share(server: Server, folder: Path) -> list[Any]:
    """Auth objects as two processes would have them, which know nothing of each other."""
    return [auth_for(server.url, cache=FileTokenCache(folder / "tokens")) for _ in range(2)]


def carried(server: Server, path: str) -> list[str | None]:
    return [(one.authorization or "").removeprefix("Bearer ") for one in server.to(path)]


@pytest.mark.parametrize("body", [None, b"whole"])
def test_a_token_that_another_process_stored_and_that_ended_since_costs_one_more_replay(
    client: Client, body: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with api_server() as (server, api):
        mine, others = two_that_share(server, tmp_path)
        client.get(mine, server.url + "/first")
        api.revoke()
        client.get(others, server.url + "/first")
        api.revoke()
        reply = client.post(mine, server.url + "/a", body)

        assert (reply.status, reply.history) == (200, [401, 401])
        assert carried(server, "/a") == ["token-1", "token-2", "token-3"]
        assert [one.body for one in server.to("/a")] == [body or b""] * 3
        assert api.token_requests == 3
        warned = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
        assert all("several TheBaseAuth objects of this process" in text for text in warned)
        assert mine._core.shared.backoff.strikes == {}

        api.revoke()
        assert client.get(others, server.url + "/b").status == 200
        assert client.get(mine, server.url + "/b").status == 200
        assert api.token_requests == 4


def test_an_endpoint_that_says_no_to_each_token_gets_no_more_than_one_more_replay(
    client: Client, tmp_path: Path
) -> None:
    with api_server() as (server, api):
        mine, others = two_that_share(server, tmp_path)
        client.get(mine, server.url + "/first")
        others.forget()
        api.revoke()
        client.get(others, server.url + "/first")
        server.handler = lambda request: (401, {}, b"no right") if request.path == "/no" else api(request)
        reply = client.get(mine, server.url + "/no")

        assert (reply.status, reply.body, reply.history) == (401, b"no right", [401, 401])
        assert carried(server, "/no") == ["token-1", "token-2", "token-3"]
        for history in ([401], [], []):
            assert client.get(mine, server.url + "/no").history == history
        assert api.token_requests == 4


def test_a_dead_token_is_found_out_though_another_caller_has_taken_a_good_one_meanwhile(
    tmp_path: Path,
) -> None:
    with api_server() as (server, api):
        mine, others = two_that_share(server, tmp_path)
        requests = CLIENTS[0]
        requests.get(mine, server.url + "/first")
        api.revoke()
        requests.get(others, server.url + "/first")
        api.revoke()

        def handler(request: Received) -> Answer:
            if (request.path, request.authorization) == ("/a", "Bearer token-2"):
                requests.get(others, server.url + "/b")  # stores the third
                mine.forget()
                requests.get(mine, server.url + "/b")  # takes it
            return api(request)

        server.handler = handler
        assert requests.get(mine, server.url + "/a").status == 200
        assert carried(server, "/a") == ["token-1", "token-2", "token-3"]
    assert api.token_requests == 3


class DeadTokens:
    """A cache with another token each time, none of them good."""

    def __init__(self) -> None:
        self.form: Any = None
        self.numbers = iter(range(1, 9))

    def load(self, key: str) -> str | None:
        number = next(self.numbers, None)
        return None if number is None else str(self.form.write(Token(f"dead-{number}")))

    def store(self, key: str, record: str, lifetime: float | None) -> None:
        pass

    def lock(self, key: str, lease: float) -> Callable[[], object]:
        return lambda: None


def auth_of_the_dead(domain: str) -> Any:
    cache = DeadTokens()
    auth = auth_for(domain, cache=cache)
    cache.form = RecordFormat(auth._core.credentials)
    return auth


def test_a_cache_full_of_dead_tokens_costs_a_call_no_more_than_two_replays(client: Client) -> None:
    with api_server() as (server, api):
        reply = client.post(auth_of_the_dead(server.url), server.url + "/a", b"whole")
        assert (reply.status, reply.history) == (401, [401, 401])
        assert carried(server, "/a") == ["dead-1", "dead-2", "dead-3"]
        assert api.token_requests == 0


def test_the_settings_of_the_call_go_with_both_replays_of_requests() -> None:
    adapter = NotingAdapter()
    with api_server() as (server, _), requests.Session() as session:
        session.mount("http://", adapter)
        session.auth = auth_of_the_dead(server.url)
        session.get(server.url + "/a", timeout=7, stream=True).close()
    assert len(adapter.sent) == 3
    first, second, third = adapter.sent
    assert first == second == third
    assert (third["timeout"], third["stream"]) == (7, True)
