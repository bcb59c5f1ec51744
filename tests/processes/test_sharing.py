"""One token through a cache: whatever the cache does, requests succeed and its lock is free again."""

from __future__ import annotations

import base64
import errno
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis

from tests.support.callers import wait_for
from tests.support.clients import CLIENT_ID, CLIENT_SECRET, CLIENTS, Client, auth_for
from tests.support.servers import BASIC, Answer, Received, api_server
from tests.support.sharing import (
    METHODS,
    Shared,
    few_clients,
    is_free,
    key_of,
    record_of,
    renew,
    said_by_another_process,
    until,
)
from tests.support.shelf import Gate, Shelf
from tests.support.world import LIBRARIES
from thebase_auth import FileTokenCache, TheBaseAuth
from thebase_auth.testing import Sandbox

# What it is for


@few_clients
def test_a_token_that_another_process_stored_is_taken_without_a_token_request(
    client: Client, shared: Shared
) -> None:
    with Sandbox() as thebase:
        assert said_by_another_process(thebase.domain, shared.kind, shared.where)[0] == "200\n"
        auth = auth_for(thebase.domain, cache=shared.cache())
        assert client.get(auth, thebase.domain + "/v2/users").status == 200
        assert thebase.token_requests == 1


def test_clients_loops_and_auth_objects_that_share_a_cache_make_one_token_request(shared: Shared) -> None:
    with Sandbox() as thebase:
        one_cache = shared.cache()
        auths = [auth_for(thebase.domain, cache=one_cache) for _ in range(2)]
        auths += [auth_for(thebase.domain, cache=shared.cache()) for _ in range(2)]
        for generation in (1, 2):
            with ThreadPoolExecutor(2 * len(CLIENTS)) as pool:
                calls = [
                    pool.submit(client.get, auth, thebase.domain + "/v2/users", timeout=20)
                    for client in CLIENTS
                    for auth in auths
                ]
                assert [call.result(30).status for call in calls] == [200] * len(calls)
            assert thebase.token_requests == generation
            thebase.revoke_tokens()


def test_a_token_that_is_stored_between_the_first_look_and_the_lock_is_taken(client: Client) -> None:
    with api_server() as (server, api):
        api.live.add("from-another")

        def store(method: str) -> None:
            if method == "lock":
                shelf.records[key_of(auth)] = record_of(auth, "from-another")

        shelf = Shelf(store)
        auth = auth_for(server.url, cache=shelf)
        assert client.get(auth, server.url + "/a").status == 200
    assert api.token_requests == 0
    assert not shelf.locked


# Event loops


def test_no_call_of_the_cache_is_made_in_the_thread_of_the_caller(client: Client) -> None:
    with api_server() as (server, api):
        shelf = Shelf()
        auth = auth_for(server.url, cache=shelf)
        for _ in range(2):
            renew(client, auth, server.url, api)
    assert {method for method, _ in shelf.calls} == set(METHODS)
    assert threading.get_ident() not in {thread for _, thread in shelf.calls}


@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("method", METHODS)
async def test_an_event_loop_keeps_its_beat_while_a_slow_cache_answers(
    library: Any, method: str, told: Callable[[], int]
) -> None:
    gate = Gate(method)
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=Shelf(gate))
        async with library.AsyncClient(auth=auth, timeout=20) as client, anyio.create_task_group() as group:

            async def beat() -> None:
                await wait_for(gate.reached.is_set)
                for _ in range(20):
                    await anyio.sleep(0.001)
                gate.opened.set()

            group.start_soon(beat)
            assert (await client.get(server.url + "/a")).status_code == 200
    assert gate.was_opened_in_time
    assert told() == 0


# Secrets


class TwoSecrets:
    """A server that knows two clients with one id, and tells whose token is whose."""

    secrets = ("the-first-secret..", "the-second-secret..")

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.used: list[str | None] = []

    def __call__(self, request: Received) -> Answer:
        if request.path != "/oauth/token":
            self.used.append(request.authorization)
            return 200, {}, b"accepted"
        pair = base64.b64decode((request.authorization or "").removeprefix("Basic ")).decode()
        secret = pair.partition(":")[2]
        self.asked.append(secret)
        document = {"access_token": f"token-of-{self.secrets.index(secret)}", "token_type": "bearer"}
        return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()


@few_clients
def test_two_secrets_on_one_cache_keep_their_tokens_apart_and_are_not_stored(
    client: Client, shared: Shared
) -> None:
    handler = TwoSecrets()
    with api_server(handler) as (server, _):
        for _ in range(2):
            for secret in handler.secrets:
                auth = TheBaseAuth(server.url, CLIENT_ID, secret, cache=shared.cache())
                assert client.get(auth, server.url + "/a").status == 200
                assert client.get(auth, server.url + "/a").status == 200
        content = shared.content()
    assert handler.asked == list(handler.secrets)
    each = ["Bearer token-of-0"] * 2 + ["Bearer token-of-1"] * 2
    assert handler.used == each * 2
    assert content.count(b"token-of-") == 2
    for secret in handler.secrets:
        pair = f"{CLIENT_ID}:{secret}"
        for text in (secret, pair, secret[:-2]):
            assert text.encode() not in content
            assert base64.b64encode(text.encode()) not in content


@few_clients
@pytest.mark.parametrize("method", METHODS)
def test_an_error_that_quotes_the_secrets_is_reported_without_them(
    client: Client, method: str, caplog: pytest.LogCaptureFixture, told: Callable[[], int]
) -> None:
    with api_server() as (server, api):

        def fail(called: str) -> None:
            if called == method:
                token = auth.token.access_token if auth.token else ""
                raise RuntimeError(f"{CLIENT_SECRET} {BASIC} {shelf.records} {token}")

        shelf = Shelf(fail)
        auth = auth_for(server.url, cache=shelf)
        for _ in range(3):
            renew(client, auth, server.url, api)
            until(lambda: not shelf.locked)
        assert told() == (0 if method == "release" else 1)
    assert_nothing_is_told(caplog, *[f"token-{number}" for number in range(1, 4)])


def assert_nothing_is_told(caplog: pytest.LogCaptureFixture, *tokens: str) -> None:
    for secret in (CLIENT_SECRET, BASIC.removeprefix("Basic "), *tokens):
        assert secret not in caplog.text


@pytest.mark.parametrize("of", ["another process", "its own, cut short", "its own, forgotten"])
def test_an_error_that_quotes_a_record_is_reported_without_its_token(
    of: str, caplog: pytest.LogCaptureFixture, told: Callable[[], int]
) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlc2lnbmF0dXJl"
    with api_server() as (server, api):
        api.token_answer["access_token"] = token
        api.live.add(token)

        class Quoting(Shelf):
            def load(self, key: str) -> Any:
                if of == "another process":
                    raise ValueError(f"bad record {record_of(auth, token)}")

            def store(self, key: str, record: str, lifetime: float | None) -> None:
                if of == "its own, forgotten":
                    auth.forget()
                raise ValueError(f"cannot store {record[: 100 if 'short' in of else None]}")

        auth = auth_for(server.url, cache=Quoting())
        assert CLIENTS[0].get(auth, server.url + "/a").status == 200
    assert told() == 1
    assert_nothing_is_told(caplog, token[:20])


# Tokens that are dead


def test_a_dead_token_from_the_cache_costs_one_more_replay(client: Client) -> None:
    with api_server() as (server, api):
        shelf = Shelf()
        auth = auth_for(server.url, cache=shelf)
        renew(client, auth, server.url, api)
        api.revoke()
        shelf.records[key_of(auth)] = record_of(auth, "dead")
        reply = client.get(auth, server.url + "/a")
        assert (reply.status, reply.history) == (200, [401, 401])
        carried = [one.authorization for one in server.to("/a")][-3:]
        assert carried == ["Bearer token-1", "Bearer dead", "Bearer token-2"]
    assert api.token_requests == 2


def test_a_call_that_is_refused_with_any_token_is_replayed_twice_at_most(client: Client) -> None:
    with api_server() as (server, api):
        shelf = Shelf()
        auth = auth_for(server.url, cache=shelf)
        renew(client, auth, server.url, api)
        api.answers["/a"] = api.refusal
        shelf.records[key_of(auth)] = record_of(auth, "dead")
        reply = client.get(auth, server.url + "/a")
        assert (reply.status, reply.history) == (401, [401, 401])
    assert api.token_requests == 2


def test_while_the_token_endpoint_must_rest_a_token_of_another_process_is_taken(client: Client) -> None:
    shelf = Shelf()
    with Sandbox(client_secret="another") as thebase:
        auth = auth_for(thebase.domain, cache=shelf)
        for _ in range(2):
            with pytest.raises(client.error):
                client.get(auth, thebase.domain + "/v2/users")
        assert thebase.token_requests == 1
        until(lambda: not shelf.locked)
        thebase.client.client_secret = CLIENT_SECRET
        other = auth_for(thebase.domain, cache=shelf)
        for one in (other, auth):
            assert client.get(one, thebase.domain + "/v2/users").status == 200
        assert thebase.token_requests == 2


@few_clients
def test_a_refused_token_is_not_taken_back_from_the_cache(client: Client, shared: Shared) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shared.cache())
        for number in (1, 2, 3):
            renew(client, auth, server.url, api)
            assert api.token_requests == number
            assert client.get(auth, server.url + "/a").history == []


@few_clients
def test_a_token_dropped_by_a_401_that_was_not_replayed_is_not_taken_back(
    client: Client, shared: Shared
) -> None:
    def body() -> Iterator[bytes]:
        yield b"once"

    async def async_body() -> Any:
        yield b"once"

    with api_server() as (server, api):
        auth = auth_for(server.url, cache=shared.cache())
        renew(client, auth, server.url, api)
        api.revoke()
        content = async_body() if client.is_async else body()
        assert client.post(auth, server.url + "/b", content).status == 401
        assert auth.token is None
        assert client.get(auth, server.url + "/a").status == 200
        assert auth.token == "token-2"


@few_clients
def test_a_token_that_was_forgotten_is_not_taken_back(client: Client, shared: Shared) -> None:
    with api_server() as (server, _):
        auth = auth_for(server.url, cache=shared.cache())
        for number in (1, 2, 3):
            auth.forget()
            assert client.get(auth, server.url + "/a").status == 200
            assert auth.token == f"token-{number}"
        # Another process has no reason not to take it.
        another = auth_for(server.url, cache=shared.cache())
        assert client.get(another, server.url + "/a").status == 200
        assert another.token == "token-3"


def test_an_older_token_that_is_still_there_because_storing_failed_is_not_taken_back(client: Client) -> None:
    def fail(method: str) -> None:
        if method == "store" and shelf.records:
            raise OSError(errno.ENOSPC, "full")

    with api_server() as (server, api):
        shelf = Shelf(fail)
        auth = auth_for(server.url, cache=shelf)
        for number in range(1, 6):
            renew(client, auth, server.url, api)
            assert auth.token == f"token-{number}"
            [record] = shelf.records.values()
            assert '"token-1"' in record


def test_an_older_token_is_not_taken_back_however_many_have_died_since() -> None:
    def fail(method: str) -> None:
        if method == "store" and shelf.records:
            raise OSError(errno.ENOSPC, "full")

    with api_server() as (server, api):
        shelf = Shelf(fail)
        auth = auth_for(server.url, cache=shelf)
        for _ in range(40):
            renew(CLIENTS[0], auth, server.url, api)
        assert api.token_requests == 40


def test_a_refused_token_is_not_replaced_by_an_older_one_of_another_process(client: Client) -> None:
    """This process fetched its own while the cache was down; then all tokens were ended."""
    with api_server() as (server, api):
        shelf = Shelf()
        other = auth_for(server.url, cache=shelf)
        renew(client, other, server.url, api)  # token-1, stored

        def fail(method: str) -> None:
            raise ConnectionError("down")

        shelf.before = fail
        mine = auth_for(server.url, cache=shelf)
        assert client.get(mine, server.url + "/a").status == 200
        assert mine.token == "token-2"
        shelf.before = lambda method: None
        renew(client, mine, server.url, api)


# Nonsense


def adapters() -> list[Any]:
    import thebase_auth
    import thebase_auth.httpx
    import thebase_auth.httpx2
    import thebase_auth.requests

    return [thebase_auth, thebase_auth.requests, thebase_auth.httpx, thebase_auth.httpx2]


@pytest.mark.parametrize(
    "nonsense",
    [
        "tokens.json",
        "",
        Path("tokens.json"),
        redis.Redis(),
        redis.Redis,
        FileTokenCache,
        Shelf,
        {},
        True,
        0,
        threading.Lock(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_a_cache_is_refused_with_a_hint_at_what_to_give(nonsense: Any) -> None:
    hint = r"such as FileTokenCache\(path\) or RedisTokenCache\(client\) of thebase_auth\.caches"
    for module in adapters():
        with pytest.raises(TypeError, match=rf"{hint}; it is of type {type(nonsense).__name__}$") as caught:
            module.TheBaseAuth("acme.thebase.co.il", CLIENT_ID, CLIENT_SECRET, cache=nonsense)
        assert CLIENT_SECRET not in str(caught.value)


def test_a_cache_whose_methods_would_have_to_be_awaited_is_refused() -> None:
    class Awaited(Shelf):
        async def load(self, key: str) -> Any:
            return None

    with pytest.raises(TypeError, match="plain methods"):
        auth_for("acme.thebase.co.il", cache=Awaited())


def test_a_cache_that_works_again_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "thebase_auth")
    broken = [True]

    def before(method: str) -> None:
        if broken:
            raise OSError("broken")

    with api_server() as (server, api):
        auth = auth_for(server.url, cache=Shelf(before))
        for _ in range(2):
            renew(CLIENTS[0], auth, server.url, api)
        broken.clear()
        for _ in range(2):
            renew(CLIENTS[0], auth, server.url, api)
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO"]


# Everything at once


@pytest.mark.parametrize("seed", range(2))
def test_with_a_cache_that_fails_at_random_every_call_succeeds_and_the_lock_is_free_in_the_end(
    seed: int,
) -> None:
    chance = random.Random(seed)

    def fail(method: str) -> None:
        match chance.randrange(8):
            case 0:
                raise OSError("on purpose")
            case 1:
                raise SystemExit
            case 2:
                time.sleep(chance.random() / 20)

    shelf = Shelf(fail)
    with api_server() as (server, _):
        auths = [auth_for(server.url, cache=shelf) for _ in range(3)]

        def work(number: int) -> list[int]:
            client = CLIENTS[number % len(CLIENTS)]
            statuses = []
            for round_ in range(8):
                auth = auths[(number + round_) % len(auths)]
                auth.forget()
                statuses.append(client.get(auth, server.url + "/a", timeout=20).status)
            return statuses

        with ThreadPoolExecutor(14) as pool:
            results = [future.result(60) for future in [pool.submit(work, n) for n in range(14)]]
    assert results == [[200] * 8] * 14
    until(lambda: not shelf.locked)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of httpx, when cancelled
@pytest.mark.anyio
@pytest.mark.parametrize("library", LIBRARIES)
async def test_with_callers_that_are_cancelled_at_random_the_others_succeed_and_the_lock_is_free(
    library: Any, tmp_path: Path
) -> None:
    chance = random.Random(1)
    statuses: list[int] = []
    with api_server() as (server, _):
        cache = FileTokenCache(tmp_path / "tokens.json")
        auth = auth_for(server.url, cache=cache)
        async with library.AsyncClient(auth=auth, timeout=20) as client:

            async def abandon(seconds: float) -> None:
                with anyio.move_on_after(seconds):
                    await client.get(server.url + "/a")

            async def call() -> None:
                statuses.append((await client.get(server.url + "/a")).status_code)

            for _ in range(15):
                auth.forget()
                async with anyio.create_task_group() as group:
                    for _ in range(4):
                        group.start_soon(abandon, chance.random() / 50)
                    group.start_soon(call)
        assert statuses == [200] * 15
        until(lambda: is_free(cache, auth))
