"""The sandbox as an ASGI application, without a port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
import trio

from tests.support.sandbox import JSON
from thebase_auth.httpx import TheBaseAuth
from thebase_auth.testing import Sandbox

DOMAIN = "https://acme.thebase.co.il"


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox that nobody has started."""
    return Sandbox()


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest, sandbox: Sandbox) -> Callable[..., Any]:
    """Runs an async function with a client of the application."""

    def run(test: Callable[[httpx.AsyncClient], Any]) -> Any:
        async def main() -> Any:
            auth = TheBaseAuth(DOMAIN, sandbox.client_id, sandbox.client_secret)
            transport = httpx.ASGITransport(sandbox.asgi)
            async with httpx.AsyncClient(
                auth=auth, transport=transport, base_url=DOMAIN, headers=JSON
            ) as client:
                return await test(client)

        return asyncio.run(main()) if request.param == "asyncio" else trio.run(main)

    return run


def test_calls_without_a_port_use_any_domain(run: Callable[..., Any], sandbox: Sandbox) -> None:
    async def call(client: httpx.AsyncClient) -> Any:
        return (await client.get("/v2/users?limit=1&q=%D7%90")).json()

    links = {link["rel"]: link["href"] for link in run(call)["links"]}
    assert links["next"] == f"{DOMAIN}/v2/users?limit=1&q=%D7%90&offset=1"
    sandbox.assert_received("GET /v2/users", times=1, status=200)


def test_a_dropped_connection_is_a_connection_reset_error(run: Callable[..., Any], sandbox: Sandbox) -> None:
    async def call(client: httpx.AsyncClient) -> int:
        sandbox.delay_next("*", 0.01)
        sandbox.drop_next("GET /v2/users")
        with pytest.raises(ConnectionResetError, match="asked to drop"):
            await client.get("/v2/users")
        return (await client.get("/v2/users")).status_code

    assert run(call) == 200


def test_a_cancelled_caller_does_not_stop_the_sandbox(run: Callable[..., Any], sandbox: Sandbox) -> None:
    async def call(client: httpx.AsyncClient) -> int:
        with sandbox.hold_token_requests():
            with anyio.move_on_after(0.05):
                await client.get("/v2/users")
            assert [one.status for one in sandbox.received] == [None]
        return (await client.get("/v2/users")).status_code

    assert run(call) == 200
