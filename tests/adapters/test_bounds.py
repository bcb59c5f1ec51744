"""What we read ourselves, a 401 and an answer of the token endpoint, is read up to a size and for a time."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
import requests
import urllib3

from tests.support.clients import Client, auth_for
from tests.support.servers import Answer, Api, Received, api_server
from thebase_auth import TokenRequestError

MIB = 2**20
BOMB = gzip.compress(bytes(128 * MIB))
SOON = 10  # seconds; without the bounds none of these calls would ever end


async def dripping() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await anyio.sleep(0.02)


async def flooding() -> AsyncIterator[bytes]:
    while True:
        yield bytes(65536)
        await anyio.sleep(0)  # or the server would never see that its client has gone


def endless(kind: str) -> tuple[dict[str, str], Any]:
    """The headers and the body of an answer that is never at its end, or very long when it is decoded."""
    if kind == "bomb":
        return {"Content-Encoding": "gzip"}, BOMB
    return {}, dripping() if kind == "drips" else flooding()


class Endless(Api):
    """Refuses by an answer without an end; so does the token endpoint, once it is told to."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.token_is_endless = False

    def __call__(self, request: Received) -> Answer:
        if request.path == "/oauth/token" and self.token_is_endless:
            return 200, *endless(self.kind)
        self.refusal = (401, *endless(self.kind))
        return super().__call__(request)


@pytest.mark.parametrize("kind", ["drips", "floods", "bomb"])
def test_a_401_without_an_end_is_renewed(client: Client, kind: str) -> None:
    with api_server(Endless(kind)) as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        began = time.monotonic()
        reply = client.get(auth, server.url + "/a", timeout=0.5)

    assert (reply.status, reply.history) == (200, [401])
    assert len(reply.response.history[0].content) <= 2 * MIB
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize(
    ("kind", "told"), [("drips", "not at its end after 0.5 seconds"), ("floods", "longer than 1 MiB")]
)
def test_a_token_answer_without_an_end_is_an_error(client: Client, kind: str, told: str) -> None:
    with api_server(Endless(kind)) as (server, api):
        api.token_is_endless = True
        began = time.monotonic()
        with pytest.raises(TokenRequestError, match=told):
            client.get(auth_for(server.url, timeout=0.5), server.url + "/a", timeout=0.5)
    assert time.monotonic() - began < SOON


def test_a_bomb_at_the_token_endpoint_takes_little_memory(client: Client) -> None:
    with api_server(Endless("bomb")) as (server, api):
        api.token_is_endless = True
        tracemalloc.start()
        try:
            with pytest.raises(TokenRequestError, match="longer than 1 MiB"):
                client.get(auth_for(server.url), server.url + "/a")
            assert tracemalloc.get_traced_memory()[1] < 32 * MIB
        finally:
            tracemalloc.stop()


def test_a_dripping_401_under_stream_is_renewed_within_the_timeout_of_the_call() -> None:
    with api_server(Endless("drips")) as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/a")
        api.revoke()
        with session.get(server.url + "/a", stream=True, timeout=0.5) as response:
            assert response.status_code == 200


@pytest.fixture(params=["urllib3 2", "urllib3 1"])
def urllib3_of_each_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "urllib3 1":  # as far as our reading goes
        for one in urllib3.HTTPResponse.__mro__:
            monkeypatch.delattr(one, "read1", raising=False)


@pytest.mark.usefixtures("urllib3_of_each_kind")
@pytest.mark.parametrize("kind", ["short", "floods"])
def test_a_401_gives_its_connection_back(kind: str) -> None:
    handler = Endless(kind) if kind == "floods" else Api()
    with api_server(handler) as (server, api), requests.Session() as session:
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=1, pool_block=True)
        session.mount("http://", adapter)
        session.auth = auth_for(server.url, session=session)
        session.get(server.url + "/a", timeout=5)
        for _ in range(3):
            api.revoke()
            response = session.get(server.url + "/a", timeout=5)
            assert response.status_code == 200
            assert kind == "floods" or response.history[0].content == b"refused"


@pytest.mark.anyio
async def test_a_call_that_is_cancelled_while_its_401_is_read_takes_nothing_from_the_others() -> None:
    class OneDrips(Api):
        def __call__(self, request: Received) -> Answer:
            self.refusal = (401, {}, dripping() if "slow" in request.headers else b"refused")
            return super().__call__(request)

    with api_server(OneDrips()) as (server, api):
        auth = auth_for(server.url)
        async with httpx.AsyncClient(auth=auth, timeout=30) as client:
            await client.get(server.url + "/a")
            for _ in range(3):
                api.revoke()
                with anyio.move_on_after(0.3) as cancelled:
                    await client.get(server.url + "/a", headers={"slow": "yes"})
                assert cancelled.cancelled_caught
                statuses: list[int] = []

                async def call(into: list[int]) -> None:
                    into.append((await client.get(server.url + "/a")).status_code)

                async with anyio.create_task_group() as group:
                    for _ in range(10):
                        group.start_soon(call, statuses)
                assert statuses == [200] * 10
    assert api.token_requests == 4


async def nothing() -> AsyncIterator[bytes]:
    """The beginning of a gzip file whose name has no end: it decodes to nothing, for ever."""
    yield b"\x1f\x8b\x08\x08" + bytes(6)
    while True:
        yield b"x" * 100
        await anyio.sleep(0.02)


@pytest.mark.parametrize("of", ["the 401", "the token endpoint"])
def test_a_body_that_decodes_to_nothing_ends_in_time(client: Client, of: str) -> None:
    class Nothing(Api):
        def __call__(self, request: Received) -> Answer:
            self.refusal = (401, {"Content-Encoding": "gzip"}, nothing())
            if of == "the token endpoint" and request.path == "/oauth/token":
                return 200, {"Content-Encoding": "gzip"}, nothing()
            return super().__call__(request)

    with api_server(Nothing()) as (server, api):
        auth = auth_for(server.url, timeout=0.5)
        began = time.monotonic()
        if of == "the 401":
            client.get(auth, server.url + "/a", timeout=0.5)
            api.revoke()
            assert client.get(auth, server.url + "/a", timeout=0.5).status == 200
        else:
            with pytest.raises(TokenRequestError, match="not at its end after 0.5 seconds"):
                client.get(auth, server.url + "/a", timeout=0.5)
    assert time.monotonic() - began < SOON
