"""What is special to aiohttp: middlewares, redirects, traces, bodies, cancellation, WebSockets."""

from __future__ import annotations

import asyncio
import io
import os
import ssl
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from tests.support.callers import HeldTokens, wait_for
from tests.support.clients import CLIENT_ID, CLIENT_SECRET
from tests.support.rejections import REJECTIONS, reject_first_token
from tests.support.servers import BASIC, Api, Received, Response, Server, api_server
from tests.support.uploads import CONTENT, AsyncOneShot, opened
from tests.support.world import DOMAIN, URL, SilentAtFirst
from thebase_auth.aiohttp import TheBaseAuth
from thebase_auth.testing import Sandbox

pytestmark = pytest.mark.anyio
BY_PROXY = "http://127.0.0.1:1"  # where nobody listens


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def signed_by(domain: str, **options: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(middlewares=(TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET),), **options)


@asynccontextmanager
async def warmed_up(
    api: Any = None, *, before: Any = (), after: Any = (), **options: Any
) -> AsyncIterator[tuple[aiohttp.ClientSession, str, Any, Server]]:
    """A session that has a token, a URL, its API, and the server."""
    with api_server(api) as (server, given):
        auth = TheBaseAuth(server.url, CLIENT_ID, CLIENT_SECRET)
        async with aiohttp.ClientSession(middlewares=(*before, auth, *after), **options) as session:
            assert await status(session.get(server.url + "/warm-up")) == 200
            yield session, server.url + "/a", given, server


async def status(call: Any) -> int:
    async with call as response:
        await response.read()
        return int(response.status)


def carried(server: Server, path: str = "/a") -> list[str | None]:
    """The ``Authorization`` of each request to *path*."""
    return [one.authorization for one in server.to(path)]


# Redirects


async def send_in_a_new_task(request: Any, handler: Any) -> Any:
    """As `asyncio.wait_for` of Python 3.11 does."""
    return await asyncio.create_task(handler(request))


@pytest.mark.parametrize("total", [None, 60])
@pytest.mark.parametrize("before", [(), (send_in_a_new_task,)], ids=["one task", "a task for each hop"])
async def test_redirect_by_another_host_is_unsigned_but_not_the_next_call(total: Any, before: Any) -> None:
    timeout = aiohttp.ClientTimeout(total=total)
    async with warmed_up(before=before, timeout=timeout) as (session, url, _, server):
        with Server(lambda _: (302, {"Location": url}, b"")).running() as other:
            async with session.get(other.url) as kept:
                assert (kept.status, len(kept.history)) == (401, 1)
            assert await status(session.get(other.url, allow_redirects=False)) == 302
            assert await status(session.get(url)) == 200
    assert carried(server) == [None, "Bearer token-1"]


async def test_auth_objects_of_two_domains_sign_each_their_own() -> None:
    with api_server() as (first, api), api_server() as (second, _):
        elsewhere = second.url.replace("127.0.0.1", "localhost")
        api.responses["/within"] = (302, {"Location": "/to"}, b"")
        api.responses["/away"] = (302, {"Location": elsewhere + "/to"}, b"")
        auths = [TheBaseAuth(domain, CLIENT_ID, CLIENT_SECRET) for domain in (first.url, elsewhere)]
        async with aiohttp.ClientSession(middlewares=auths) as session:
            assert await status(session.get(elsewhere + "/a")) == 200
            assert await status(session.get(first.url + "/within")) == 200
            assert await status(session.get(first.url + "/away")) == 401
    assert carried(first, "/to") == ["Bearer token-1"]
    assert carried(second, "/to") == [None]


# The token request


def trace_into(seen: list[str]) -> aiohttp.TraceConfig:
    async def see(session: Any, context: Any, params: Any) -> None:
        seen.append(str([getattr(params, name) for name in dir(params)]))

    trace = aiohttp.TraceConfig()
    for name in dir(trace):
        if name.startswith("on_"):
            getattr(trace, name).append(see)
    return trace


@pytest.mark.usefixtures("netrc")
async def test_token_request_has_nothing_of_the_session_and_shows_it_nothing() -> None:
    def set_cookie(request: Received) -> Response:
        code, headers, body = api(request)
        return code, headers | {"Set-Cookie": f"from-{request.path[1:2]}=1; Path=/"}, body

    async def see(request: Any, handler: Any) -> Any:
        seen.append(f"{request.url} {request.headers}")
        return await handler(request)

    api, jar = Api(), aiohttp.CookieJar(unsafe=True)
    seen: list[str] = []
    async with warmed_up(
        set_cookie,
        before=(see,),
        after=(see,),
        cookie_jar=jar,
        cookies={"user": "1"},
        headers={"X-User": "1"},
        raise_for_status=True,
        trace_configs=[trace_into(seen)],
        trust_env=True,
    ) as (session, url, _, server):
        api.revoke()
        assert await status(session.get(url)) == 200
    assert carried(server, "/oauth/token") == [BASIC, BASIC]
    assert not {"cookie", "x-user"} & {name for one in server.to("/oauth/token") for name in one.headers}
    assert {cookie.key for cookie in jar} == {"user", "from-w", "from-a"}
    assert "token-2" in str(seen)
    assert CLIENT_SECRET not in str(seen)
    assert BASIC not in str(seen)


@pytest.mark.parametrize("given", ["to the call", "in the environment"])
async def test_token_request_goes_through_the_proxy_of_the_call(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def respond(request: Received) -> Response:
        return 200, {}, b'{"access_token": "token-1"}'

    with Server(respond).running() as proxy:
        url = proxy.url.replace("://", "://user:password@")
        monkeypatch.setenv("HTTP_PROXY", url)
        options: Any = {"proxy": url} if given == "to the call" else {"trust_env": True}
        async with signed_by(BY_PROXY, **options) as session:
            assert await status(session.get(BY_PROXY + "/a")) == 200
    assert [one.path for one in proxy.received] == [BY_PROXY + "/oauth/token", BY_PROXY + "/a"]
    # Until 3.14, aiohttp sends it once for each connection.
    assert proxy.received[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNzd29yZA=="


async def test_token_request_has_the_proxy_headers_of_the_call() -> None:
    with Server(lambda _: (403, {}, b"")).running() as proxy:
        options: Any = {"proxy": proxy.url, "proxy_headers": {"X-Gate": "open"}}
        async with signed_by("acme.invalid") as session:
            with pytest.raises(aiohttp.ClientHttpProxyError):
                await session.get("https://acme.invalid/a", **options)
    [connect] = proxy.received
    assert (connect.method, connect.headers["x-gate"]) == ("CONNECT", "open")


async def test_token_request_expects_the_server_name_of_the_call(tmp_path: Path) -> None:
    authority, certificate, context = trustme.CA(), tmp_path / "certificate.pem", ssl.create_default_context()
    authority.issue_cert("crm.example").private_key_and_cert_chain_pem.write_to_path(certificate)
    authority.configure_trust(context)
    with Sandbox(ssl_certfile=str(certificate)) as thebase:
        auth = TheBaseAuth(thebase.domain, thebase.client_id, thebase.client_secret)
        options: Any = {"ssl": context, "server_hostname": "crm.example"}
        async with aiohttp.ClientSession(middlewares=(auth,)) as session:
            assert await status(session.get(thebase.domain + "/v2/users", **options)) == 200


class Closing(aiohttp.TCPConnector):
    """Loses the connection of a token request just before it is sent."""

    async def connect(self, req: Any, *args: Any, **options: Any) -> Any:
        connection: Any = await super().connect(req, *args, **options)
        if req.url.path == "/oauth/token":
            connection.transport.abort()
        return connection


async def test_local_variables_of_a_failed_token_request_show_no_secret() -> None:
    with api_server() as (server, _):
        async with signed_by(server.url, connector=Closing()) as session:
            with pytest.raises(aiohttp.ClientConnectionError) as caught:
                await session.post(server.url + "/a")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert BASIC not in "".join(shown.format())


async def test_waiter_whose_session_was_closed_sends_no_token_request() -> None:
    async with warmed_up(HeldTokens()) as (session, url, api, _):
        api.revoke()
        api.holding = True
        auth: Any = session._middlewares[0]
        closed = aiohttp.ClientSession(middlewares=(auth,))
        leader = asyncio.create_task(status(session.get(url)))
        await wait_for(lambda: len(api.held) == 1)
        waiter = asyncio.create_task(status(closed.get(url)))
        await wait_for(lambda: len(auth._renewal._flight.wakers) == 1)
        await closed.close()
        leader.cancel()
        with pytest.raises(RuntimeError, match="Session is closed"):
            await waiter
        api.let_all_go()
        assert await status(session.get(url)) == 200
    assert len(api.held) == 1


# The replay


@pytest.mark.parametrize("rejection", REJECTIONS)
async def test_pool_of_one_connection_serves_many_rejected_calls(rejection: str) -> None:
    async with warmed_up(connector=aiohttp.TCPConnector(limit=1)) as (session, url, api, server):
        server.handler = reject_first_token(api, rejection)
        async with asyncio.timeout(20):
            assert await asyncio.gather(*(status(session.get(url)) for _ in range(10))) == [200] * 10
    assert api.token_requests == 2


def form_with_a_one_shot() -> aiohttp.FormData:
    form = aiohttp.FormData({"field": "ערך"})
    form.add_field("file", AsyncOneShot(), filename="name.txt")
    return form


class AsyncFile(AsyncOneShot):
    """A file of aiofiles."""

    def tell(self, *_: Any) -> Any:
        pytest.fail("made a coroutine that nobody awaits")

    seek = tell


class Changing(aiohttp.BytesPayload):
    """A user's own payload, which changes when it is written."""

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        await writer.write(self._value)
        self._value = self._value.upper()


BODIES: dict[str, tuple[Callable[[Any], dict[str, Any]], int]] = {
    "form with a one-shot": (lambda file: {"data": form_with_a_one_shot()}, 401),
    "async file": (lambda file: {"data": AsyncFile()}, 401),
    "text file": (lambda file: {"data": io.TextIOWrapper(file)}, 200),
    "compressed file": (lambda file: {"data": file, "compress": True}, 401),
    "expecting a 100": (lambda file: {"data": CONTENT, "expect100": True}, 401),
    "user's payload": (lambda file: {"data": Changing(b"abc")}, 401),
}


@pytest.mark.parametrize("kind", BODIES)
async def test_replayed_body_is_the_same_or_the_401_is_the_callers(kind: str, tmp_path: Path) -> None:
    make, expected = BODIES[kind]
    async with warmed_up() as (session, url, api, server):
        api.revoke()
        with opened(tmp_path) as file:
            assert await status(session.post(url, **make(file))) == expected
        assert await status(session.get(server.url + "/after")) == 200
    assert len(server.to("/a")) == (2 if expected == 200 else 1)
    assert len({one.body for one in server.to("/a")}) == 1


@pytest.mark.parametrize("change", ["close", "cut short"])
@pytest.mark.parametrize("kind", ["file", "BytesIO"])
async def test_file_that_is_changed_meanwhile_is_not_replayed(kind: str, change: str, tmp_path: Path) -> None:
    def change_and_reject(request: Received) -> Response:
        if change == "close":
            file.close()
        else:
            os.truncate(file.name, 10) if kind == "file" else file.truncate(10)
        return 401, {}, b""

    async with warmed_up() as (session, url, api, server):
        server.handler = lambda request: (
            change_and_reject(request) if request.body == CONTENT else api(request)
        )
        with opened(tmp_path) if kind == "file" else io.BytesIO(CONTENT) as file:
            assert await status(session.post(url, data=file)) == 401
    assert len(server.to("/a")) == 1


async def test_expired_token_is_tried_with_a_buffer() -> None:
    api = Api()
    api.token_response["expires_in"] = 1e-9
    async with warmed_up(api) as (session, url, _, _):
        assert await status(session.post(url, data=io.BytesIO(b"body"))) == 200
    assert api.token_requests == 1


async def test_file_whose_upload_a_401_interrupts_is_replayed_whole(tmp_path: Path) -> None:
    content, uploads = CONTENT * 50, []  # more than any buffer holds
    responses = iter(
        [(200, b'{"access_token": "a"}'), (401, b""), (200, b'{"access_token": "b"}'), (200, b"")]
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                status, body = next(responses)
                if status == 200:
                    uploads.append(await reader.readexactly(29 if b"/oauth/token" in head else len(content)))
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    path = tmp_path / "body"
    path.write_bytes(content)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with path.open("rb") as file:
            async with signed_by(url) as session:
                assert await status(session.post(url + "/a", data=file)) == 200
    assert uploads[2:] == [content]


async def test_websocket_is_signed_at_its_handshake() -> None:
    async with warmed_up() as (session, url, api, server):
        api.revoke()
        with pytest.raises(aiohttp.WSServerHandshakeError, match="200"):  # the server speaks HTTP only
            await session.ws_connect(url.replace("http", "ws"))
    assert carried(server) == ["Bearer token-1", "Bearer token-2"]
    assert server.to("/a")[1].headers["upgrade"] == "websocket"


# Other middlewares, and errors


async def raise_for_status(request: Any, handler: Any) -> Any:
    response = await handler(request)
    response.raise_for_status()
    return response


async def sign_otherwise(request: Any, handler: Any) -> Any:
    request.headers["Authorization"] = "Bearer of-the-user"
    return await handler(request)


async def copy_headers(request: Any, handler: Any) -> Any:
    request.headers = request.headers.copy()
    return await handler(request)


@pytest.mark.parametrize(("order", "failures"), [("before", 0), ("after", 1)])
async def test_middleware_that_raises_for_a_401_fails_no_more_than_one_call(
    order: Any, failures: int
) -> None:
    api = Api()
    api.token_response["expires_in"] = 1e-9
    options: Any = {order: (raise_for_status,)}
    async with warmed_up(api, **options) as (session, url, _, _):
        api.revoke()
        for _ in range(failures):
            with pytest.raises(aiohttp.ClientResponseError):
                await session.get(url)
        assert await status(session.get(url)) == 200


async def test_401_to_the_header_of_a_middleware_after_ours_is_the_callers() -> None:
    async with warmed_up() as (session, url, api, server):
        middlewares = (*session._middlewares, sign_otherwise)
        assert await status(session.get(url, middlewares=middlewares)) == 401
    assert carried(server) == ["Bearer of-the-user"]
    assert api.token_requests == 1


async def test_token_takes_the_place_of_any_other_header_unless_told_not_to() -> None:
    async with warmed_up() as (session, url, _, server):
        headers = {"Authorization": "Bearer of-the-user"}
        assert await status(session.get(url, headers=headers)) == 200
        assert await status(session.get(url, headers=headers, middlewares=())) == 401
    assert carried(server) == ["Bearer token-1", "Bearer of-the-user"]


@pytest.mark.parametrize("after", [(), (copy_headers,)], ids=["alone", "before one that copies headers"])
async def test_raise_for_status_sees_the_last_response_and_shows_no_token(after: Any) -> None:
    async with warmed_up(after=after, raise_for_status=True) as (session, url, api, server):
        api.responses["/a"] = (404, {}, b"")
        assert await status(session.get(server.url + "/b")) == 200
        api.revoke()
        with pytest.raises(aiohttp.ClientResponseError, match="404") as caught:
            await session.get(url)
    assert carried(server) == ["Bearer token-1", "Bearer token-2"]
    assert "token-" not in repr(caught.value)


# Timeouts


async def test_total_timeout_of_a_leader_fails_nobody_else() -> None:
    world = SilentAtFirst(1)
    async with signed_by(DOMAIN, connector=world.connector()) as session:
        short = asyncio.create_task(status(session.get(URL, timeout=aiohttp.ClientTimeout(total=0.3))))
        await wait_for(lambda: len(world.leaders) == 1)
        assert await status(session.get(URL)) == 200
        with pytest.raises(TimeoutError):
            await short


async def never_complete() -> AsyncIterator[bytes]:
    yield b"reject"
    await asyncio.sleep(60)


async def test_total_timeout_ends_a_call_whose_401_is_being_read() -> None:
    async with warmed_up(timeout=aiohttp.ClientTimeout(total=0.3)) as (session, url, api, _):
        api.revoke()
        api.rejection = (401, {"Content-Length": "8"}, never_complete())
        with pytest.raises(TimeoutError):
            await session.get(url)
    assert api.token_requests == 1


async def test_waiter_leads_after_half_of_the_total_timeout_of_its_session() -> None:
    world, timeout = SilentAtFirst(1), aiohttp.ClientTimeout(total=0.8)
    async with signed_by(DOMAIN, connector=world.connector(), timeout=timeout) as session:
        patient = asyncio.create_task(status(session.get(URL, timeout=aiohttp.ClientTimeout(total=None))))
        await wait_for(lambda: len(world.leaders) == 1)
        assert await status(session.get(URL)) == 200
        patient.cancel()
