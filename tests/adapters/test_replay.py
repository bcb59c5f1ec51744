"""Promises 5 and 6: what a replay sends, and what stays as the library's user knows it."""

from __future__ import annotations

import copy
import io
import itertools
import logging
import os
import pickle
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import requests
import urllib3

from tests.support.clients import AsyncHttpx, Client, Httpx, auth_for
from tests.support.servers import Answer, Api, Received, api_server

CONTENT = b"".join(b"%06d\n" % number for number in range(30_000))  # 210 kB: several chunks


class Chunks:
    """A body that can be iterated any number of times."""

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(CONTENT), 50_000):
            yield CONTENT[start : start + 50_000]


class AsyncChunks:
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in Chunks():
            yield chunk


class OnceInDisguise:
    """Looks as if it could be iterated again, like a progress bar around a generator."""

    def __init__(self) -> None:
        self.inner = iter(Chunks())

    def __iter__(self) -> Iterator[bytes]:
        yield from self.inner


class AsyncOnceInDisguise:
    def __init__(self) -> None:
        self.inner = iter(Chunks())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.inner:
            yield chunk


class Unseekable(io.RawIOBase):
    def __init__(self) -> None:
        self.inner = io.BytesIO(CONTENT)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.inner.readinto(buffer)


async def async_generator() -> AsyncIterator[bytes]:
    for chunk in Chunks():
        yield chunk


def opened(folder: Path) -> Any:
    path = folder / "body"
    path.write_bytes(CONTENT)
    return path.open("rb")


def from_an_offset(file: Any) -> Any:
    file.seek(100_000)
    return file


def piped() -> Any:
    read, write = os.pipe()
    os.write(write, b"x" * 1000)
    os.close(write)
    return os.fdopen(read, "rb")


def post_with_first_token_refused(
    client: Client, **options: Any
) -> tuple[int, list[Received], Any]:
    """Post to an API that refuses the token the call begins with; what it received for it."""
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        reply = client.post(auth, server.url + "/upload", **options)
        after = client.get(auth, server.url + "/after")
        assert (after.status, after.history) == (200, [])  # the next request has a fresh token
        assert api.token_requests == 2
    return reply.status, server.to("/upload"), reply


def takes_a_pipe_for_empty(client: Client) -> bool:
    if not isinstance(client, Httpx):
        return False
    with piped() as pipe:
        request = client.library.Request("POST", "https://a", content=pipe)
    return request.headers.get("Content-Length") == "0"


REPLAYED = {
    "bytes": lambda folder: CONTENT,
    "text": lambda folder: "שלום " * 1000,
    "BytesIO": lambda folder: io.BytesIO(CONTENT),
    "file": opened,
}


@pytest.mark.parametrize("kind", [*REPLAYED, "none"])
def test_promise_5_a_body_that_can_be_repeated_is_replayed_byte_for_byte(
    client: Client, kind: str, tmp_path: Path
) -> None:
    if client.is_async and kind in {"BytesIO", "file"}:
        pytest.skip("AsyncClient takes no sync file as content")
    if kind == "text" and client.name == "requests" and urllib3.__version__ < "2":
        pytest.skip("the old urllib3 takes text of Latin-1 alone")
    body = REPLAYED[kind](tmp_path) if kind in REPLAYED else None
    status, received, _ = post_with_first_token_refused(client, content=body)
    if hasattr(body, "close"):
        body.close()
    expected = {"text": ("שלום " * 1000).encode(), "none": b""}.get(kind, CONTENT)
    assert status == 200
    assert [one.body for one in received] == [expected, expected]


@pytest.mark.parametrize("kind", ["BytesIO", "file"])
def test_promise_5_a_file_is_replayed_from_where_it_began(
    client: Client, kind: str, tmp_path: Path
) -> None:
    if client.is_async:
        pytest.skip("AsyncClient takes no sync file as content")
    file = from_an_offset(REPLAYED[kind](tmp_path))
    # httpx counts a file's length from its beginning; the caller has to say what is left.
    headers = {"Content-Length": str(len(CONTENT) - 100_000)}
    status, received, _ = post_with_first_token_refused(client, content=file, headers=headers)
    file.close()
    assert status == 200
    assert [one.body for one in received] == [CONTENT[100_000:]] * 2


def test_promise_5_an_iterable_is_replayed_byte_for_byte(client: Client) -> None:
    body = AsyncChunks() if client.is_async else Chunks()
    status, received, _ = post_with_first_token_refused(client, content=body)
    assert status == 200
    assert [one.body for one in received] == [CONTENT, CONTENT]


def test_promise_5_a_replay_sends_the_bytes_that_were_found_to_be_the_same(client: Client) -> None:
    passes = itertools.count(1)

    def next_pass() -> bytes:
        return b"same" if next(passes) <= 2 else b"other"

    class Third:
        """Gives other bytes when it is read for a third time."""

        def __iter__(self) -> Iterator[bytes]:
            yield next_pass()

    class AsyncThird:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield next_pass()

    body = AsyncThird() if client.is_async else Third()
    status, received, _ = post_with_first_token_refused(client, content=body)
    assert status == 200
    assert [one.body for one in received] == [b"same", b"same"]


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_promise_5_a_file_is_not_read_into_memory_for_its_replay(
    library: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with api_server() as (server, api), library.Client(auth=auth_for(server.url)) as client:
        client.get(server.url + "/warm-up")
        api.revoke()
        with (tmp_path / "file").open("rb") as file:
            response = client.post(server.url + "/a", content=file)
        assert [one.status_code for one in response.history] == [401]
        with pytest.raises(library.RequestNotRead):
            response.request.content  # noqa: B018 - raises
    assert [one.body for one in server.to("/a")] == [CONTENT] * 2


@pytest.mark.parametrize("kind", ["generator", "iterator", "map", "disguise", "unseekable", "pipe"])
def test_promise_5_a_body_that_can_be_sent_once_is_not_replayed_and_the_401_is_the_callers(
    client: Client, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "thebase_auth")
    body: Any
    if client.is_async:
        kinds = {"generator": async_generator, "disguise": AsyncOnceInDisguise}
        if kind not in kinds:
            pytest.skip("AsyncClient takes async iterables alone")
        body = kinds[kind]()
    elif kind == "pipe" and takes_a_pipe_for_empty(client):
        pytest.skip("it takes a pipe for a file of no length, and cannot send it")
    else:
        body = {
            "generator": lambda: (chunk for chunk in Chunks()),
            "iterator": lambda: iter(list(Chunks())),
            "map": lambda: map(bytes, Chunks()),
            "disguise": OnceInDisguise,
            "unseekable": Unseekable,
            "pipe": piped,
        }[kind]()
    status, received, reply = post_with_first_token_refused(client, content=body)
    if hasattr(body, "close"):
        body.close() if not client.is_async else None
    assert (status, reply.body, reply.history) == (401, b"refused", [])
    assert len(received) == 1
    assert "not replaying POST" in caplog.text


@pytest.mark.parametrize("kind", ["bytes", "BytesIO", "file", "offset"])
def test_promise_5_multipart_is_replayed_byte_for_byte(
    client: Client, kind: str, tmp_path: Path
) -> None:
    file = {
        "bytes": lambda: CONTENT,
        "BytesIO": lambda: io.BytesIO(CONTENT),
        "file": lambda: opened(tmp_path),
        "offset": lambda: from_an_offset(opened(tmp_path)),
    }[kind]()
    options = {"files": {"file": ("name.txt", file)}, "data": {"field": "ערך"}}
    status, received, _ = post_with_first_token_refused(client, **options)
    if hasattr(file, "close"):
        file.close()
    assert status == 200
    first, second = received
    assert first.body == second.body
    assert first.headers["content-type"] == second.headers["content-type"]
    assert CONTENT[100_000:] in first.body


def test_promise_5_multipart_with_a_stream_that_cannot_go_back_is_not_replayed(
    client: Client,
) -> None:
    if client.name == "requests":
        pytest.skip("requests reads the file into memory")
    stream = Unseekable()
    status, received, _ = post_with_first_token_refused(client, files={"file": stream})
    assert status == 401
    assert len(received) == 1


@pytest.mark.parametrize("form", ["json", "data"])
def test_promise_5_json_and_forms_are_replayed_byte_for_byte(client: Client, form: str) -> None:
    value = {"name": "משה", "phone": "0501234567"}
    status, received, _ = post_with_first_token_refused(client, **{form: value})
    assert status == 200
    assert received[0].body == received[1].body != b""
    assert received[0].headers["content-type"] == received[1].headers["content-type"]


@pytest.mark.parametrize("how", ["raw stream", "iterated twice"])
def test_promise_5_a_stream_of_unknown_kind_is_not_replayed(client: Client, how: str) -> None:
    if client.name == "requests":
        pytest.skip("of httpx and httpx2")
    library = client.library  # type: ignore[attr-defined]

    class Stream(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[bytes]:
            yield b"abc"

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"abc"

    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        headers = {"Content-Length": "3", "Host": server.url.removeprefix("http://")}
        request = library.Request("POST", server.url + "/u", stream=Stream(), headers=headers)

        if isinstance(client, AsyncHttpx):

            async def send() -> Any:
                async with library.AsyncClient(auth=auth) as open_client:
                    return await open_client.send(request)

            response = client.run(send)
        else:
            with library.Client(auth=auth) as open_client:
                response = open_client.send(request)
    assert response.status_code == 401
    assert [one.body for one in server.to("/u")] == [b"abc"]


def test_promise_6_cookies_set_by_the_401_go_with_the_replay(client: Client) -> None:
    api = Api()
    api.refusal = (401, {"Set-Cookie": "route=b; Path=/"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        client.get(auth, server.url + "/c", cookies={"route": "a", "other": "1"})
    first, second = (set(one.headers["cookie"].split("; ")) for one in server.to("/c"))
    assert first == {"other=1", "route=a"}
    # For requests a cookie given by hand and one set by the server are two.
    assert second - {"route=a"} == {"other=1", "route=b"}
    assert "route=a" not in second or client.name == "requests"


def test_promise_6_a_cookie_that_the_401_changes_takes_the_place_of_the_old_one() -> None:
    api = Api()
    api.answers["/login"] = (200, {"Set-Cookie": "route=a; Path=/"}, b"")
    api.refusal = (401, {"Set-Cookie": "route=b; Path=/"}, b"")
    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/login")
        api.revoke()
        session.get(server.url + "/c")
        session.get(server.url + "/c")
    assert [one.headers["cookie"] for one in server.to("/c")] == ["route=a", "route=b", "route=b"]


def test_promise_6_a_cookie_header_written_by_hand_is_left_alone_by_requests() -> None:
    api = Api()
    api.refusal = (401, {"Set-Cookie": "route=b; Path=/"}, b"")
    with api_server(api) as (server, _), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/warm-up")
        session.cookies.clear()
        api.revoke()
        session.get(server.url + "/c", headers={"Cookie": "by=hand"})
        assert session.cookies["route"] == "b"
    assert [one.headers["cookie"] for one in server.to("/c")] == ["by=hand", "by=hand"]


@pytest.mark.parametrize("with_cookies", [True, False])
def test_promise_6_a_401_without_cookies_changes_none(client: Client, with_cookies: bool) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        options = {"cookies": {"a": "1"}} if with_cookies else {}
        client.get(auth, server.url + "/c", **options)
    expected = "a=1" if with_cookies else None
    assert [one.headers.get("cookie") for one in server.to("/c")] == [expected, expected]


def test_promise_6_a_cookie_that_the_401_ends_is_not_sent_by_accident(client: Client) -> None:
    api = Api()
    api.refusal = (401, {"Set-Cookie": "gone=; Max-Age=0; Path=/"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        assert client.get(auth, server.url + "/c").status == 200
    assert [one.headers.get("cookie") for one in server.to("/c")] == [None, None]


def test_promise_6_the_401_is_in_the_history_with_the_token_it_refused(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        reply = client.post(auth, server.url + "/a", b"body")
    sent = reply.response.request
    assert (sent.body if client.name == "requests" else sent.content) == b"body"
    refused = reply.response.history[0]
    assert refused.status_code == 401
    assert refused.content == b"refused"
    assert refused.request.headers["Authorization"] == "Bearer token-1"
    assert reply.response.request.headers["Authorization"] == "Bearer token-2"
    assert reply.response.elapsed.total_seconds() > 0


def test_promise_6_the_first_request_has_no_history(client: Client) -> None:
    with api_server() as (server, _):
        assert client.get(auth_for(server.url), server.url + "/a").history == []


def test_promise_6_a_redirect_after_the_replay_is_followed_with_the_new_token(
    client: Client,
) -> None:
    api = Api()
    api.answers["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        reply = client.get(auth, server.url + "/from", follow_redirects=True)
    assert (reply.status, reply.body) == (200, b"accepted")
    assert [one.authorization for one in server.to("/to")] == ["Bearer token-2"]
    assert api.token_requests == 2
    if client.name == "requests":
        assert reply.history == [302]  # requests begins a new history at a redirect
    else:
        assert reply.history == [401, 302]


@pytest.mark.parametrize("body", ["bytes", "stream"])
def test_promise_6_a_401_behind_a_redirect_is_replayed_where_it_came_from(
    client: Client, body: str
) -> None:
    """A create that redirects to what it created must not be sent twice.

    The body is gone by then, so that it does not matter whether it could be sent once more.
    """
    content: Any = b"body"
    if body == "stream":
        content = async_generator() if client.is_async else iter([b"body"])
    api = Api()

    def redirect_and_revoke(request: Received) -> Answer:
        if request.path == "/create":
            api.revoke()
            return 303, {"Location": "/created"}, b""
        return api(request)

    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        server.handler = redirect_and_revoke
        reply = client.post(auth, server.url + "/create", content, follow_redirects=True)
    assert reply.status == 200
    assert len(server.to("/create")) == 1
    assert [one.authorization for one in server.to("/created")] == [
        "Bearer token-1",
        "Bearer token-2",
    ]
    if client.name != "requests":
        assert reply.history == [303, 401]


def test_promise_6_a_body_goes_along_with_a_307_after_the_replay(client: Client) -> None:
    api = Api()
    api.answers["/from"] = (307, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        body = AsyncChunks() if client.is_async else Chunks()
        reply = client.post(auth, server.url + "/from", body, follow_redirects=True)
    assert reply.status == 200
    assert [
        one.body for one in server.received if one.method == "POST" and "/oauth" not in one.path
    ] == [CONTENT] * 3


@pytest.mark.parametrize("hops", [["/from", "/to"], ["/from", "/on", "/and/on", "/to"]])
def test_promise_3_a_call_is_replayed_once_also_when_its_redirect_is_refused(
    client: Client, hops: list[str]
) -> None:
    api = Api()

    def refuse_the_target(request: Received) -> Answer:
        if request.path == "/to":
            return 401, {}, b"no"
        return api(request)

    for path, following in itertools.pairwise(hops):
        api.answers[path] = (302, {"Location": following}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        server.handler = refuse_the_target
        reply = client.get(auth, server.url + "/from", follow_redirects=True)
    assert (reply.status, reply.body) == (401, b"no")
    assert len(server.to("/to")) == 1
    assert api.token_requests == 2


def test_promise_6_a_netrc_entry_does_not_take_the_tokens_place(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password netrc-secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    api = Api()
    api.answers["/from"] = (302, {"Location": "/to"}, b"")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        for _ in range(2):  # without a replay before the redirect, and with one
            assert client.get(auth, server.url + "/from", follow_redirects=True).status == 200
            api.revoke()
    carried = [one.authorization or "" for one in server.received if one.path != "/oauth/token"]
    assert all(value.startswith("Bearer ") for value in carried)


def test_promise_6_response_hooks_see_the_last_answer_once() -> None:
    seen = []
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.hooks["response"].append(lambda response, **_: seen.append(response.status_code))
        session.get(server.url + "/warm-up")
        api.revoke()
        session.get(server.url + "/a")
    assert seen == [200, 200]


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("body", ["in memory", "iterable"])
def test_promise_6_a_hook_that_raises_for_a_401_costs_one_call_when_the_token_is_past_its_time(
    library: Any, body: str
) -> None:
    """The documentation of httpx shows this hook. It keeps the 401 from every auth flow."""

    def raise_for_status(response: Any) -> None:
        response.raise_for_status()

    api = Api()
    api.token_answer["expires_in"] = 1e-9
    hooks = {"response": [raise_for_status]}
    with (
        api_server(api) as (server, _),
        library.Client(auth=auth_for(server.url), event_hooks=hooks) as client,
    ):
        client.get(server.url + "/warm-up")
        api.revoke()
        content = b"abc" if body == "in memory" else Chunks()
        with pytest.raises(library.HTTPStatusError):
            client.post(server.url + "/a", content=content)
        assert client.post(server.url + "/a", content=content).status_code == 200


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("body", ["in memory", "iterable"])
def test_promise_2_a_call_without_an_answer_says_nothing_of_a_token_in_its_time(
    library: Any, body: str
) -> None:
    def give_up(response: Any) -> None:
        if response.request.url.path == "/given-up":
            raise KeyboardInterrupt

    content = b"abc" if body == "in memory" else Chunks()
    with (
        api_server() as (server, api),
        library.Client(auth=auth_for(server.url), event_hooks={"response": [give_up]}) as client,
    ):
        client.get(server.url + "/warm-up")
        with pytest.raises(KeyboardInterrupt):
            client.post(server.url + "/given-up", content=content)
        assert client.get(server.url + "/a").status_code == 200
    assert api.token_requests == 1


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_promise_6_a_hook_that_raises_costs_one_call_in_async_clients(library: Any) -> None:
    async def raise_for_status(response: Any) -> None:
        response.raise_for_status()

    api = Api()
    api.token_answer["expires_in"] = 1e-9
    hooks = {"response": [raise_for_status]}
    with api_server(api) as (server, _):
        async with library.AsyncClient(auth=auth_for(server.url), event_hooks=hooks) as client:
            await client.get(server.url + "/warm-up")
            api.revoke()
            with pytest.raises(library.HTTPStatusError):
                await client.get(server.url + "/a")
            assert (await client.get(server.url + "/a")).status_code == 200


def test_one_prepared_request_can_be_sent_again_after_each_renewal() -> None:
    """requests signs when it prepares, so that this one carries its first token for ever."""
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a"))
        assert session.send(prepared).status_code == 200
        api.revoke()
        for _ in range(3):
            response = session.send(prepared)
            assert response.status_code == 200
            assert [one.status_code for one in response.history] == [401]
        assert api.token_requests == 2


def test_one_prepared_request_does_not_get_stuck_with_a_dead_token() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        prepared = session.prepare_request(requests.Request("GET", server.url + "/a"))
        session.auth.forget()
        session.get(server.url + "/another")
        api.revoke()  # now both the token it carries and the current one are dead
        response = session.send(prepared)
        assert response.status_code == 401
        refused = [one.request.headers["Authorization"] for one in (*response.history, response)]
        assert refused == ["Bearer token-1", "Bearer token-2"]
        assert session.send(prepared).status_code == 200


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_one_httpx_request_can_be_sent_again_and_is_renewed_each_time(library: Any) -> None:
    with api_server() as (server, api), library.Client(auth=auth_for(server.url)) as client:
        client.get(server.url + "/warm-up")
        request = client.build_request("POST", server.url + "/a", content=Chunks())
        for _ in range(3):
            api.revoke()
            response = client.send(request)
            assert response.status_code == 200
            assert [one.status_code for one in response.history] == [401]
    assert {one.body for one in server.to("/a")} == {CONTENT}


@pytest.mark.parametrize("how", ["content", "files"])
def test_promise_5_a_file_that_has_grown_meanwhile_is_replayed_as_it_was(
    client: Client, how: str, tmp_path: Path
) -> None:
    if (client.is_async and how == "content") or (client.name == "requests" and how == "files"):
        pytest.skip("is not sent as a file")
    file: Any = opened(tmp_path)
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()

        def grow(request: Received) -> Answer:
            # Not before: the library might still be reading, and send what has been added.
            if request.path == "/oauth/token":
                with (tmp_path / "body").open("ab") as log:
                    log.write(b"one more line")
            return api(request)

        server.handler = grow
        options = {"content": file} if how == "content" else {"files": {"file": file}}
        assert client.post(auth, server.url + "/upload", **options).status == 200
    file.close()
    first, second = server.to("/upload")
    assert first.body == second.body


def test_promise_5_a_file_that_changes_while_the_token_is_fetched_is_not_replayed() -> None:
    file = io.BytesIO(CONTENT)
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/warm-up")
        api.revoke()

        def change_it(request: Received) -> Answer:
            if request.path == "/oauth/token":
                file.getbuffer()[:5] = b"other"
            return api(request)

        server.handler = change_it
        assert session.post(server.url + "/upload", data=file).status_code == 401
    assert [one.body for one in server.to("/upload")] == [CONTENT]


class Window:
    """A part of a file, which says its length as a list does and knows no end to seek from."""

    def __init__(self) -> None:
        self.inner = io.BytesIO(CONTENT[:1000])

    def __len__(self) -> int:
        return 1000

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.inner)

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(size)

    def tell(self) -> int:
        return self.inner.tell()

    def seek(self, position: int) -> int:
        return self.inner.seek(position)


def test_promise_6_a_file_with_a_length_of_its_own_is_sent_with_it() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/warm-up")
        api.revoke()
        assert session.post(server.url + "/upload", data=Window()).status_code == 200
    assert [one.headers["content-length"] for one in server.to("/upload")] == ["1000", "1000"]
    assert [one.body for one in server.to("/upload")] == [CONTENT[:1000]] * 2


def test_promise_6_an_iterable_may_give_empty_chunks() -> None:
    chunks: Any = [b"a", b"", None, b"b"]

    class Gaps:
        def __iter__(self) -> Iterator[bytes]:
            return iter(chunks)

    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/warm-up")
        api.revoke()
        assert session.post(server.url + "/upload", data=Gaps()).status_code == 200
    assert [one.body for one in server.to("/upload")] == [b"ab", b"ab"]


def test_promise_6_a_response_to_a_file_can_be_pickled_and_copied() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        response = session.post(server.url + "/upload", data=io.BytesIO(b"abc"))
        for again in (pickle.loads(pickle.dumps(response)), copy.deepcopy(response)):
            assert again.request.body.getvalue() == b"abc"
        api.revoke()
        prepared = copy.deepcopy(
            session.prepare_request(requests.Request("GET", server.url + "/a"))
        )
        assert session.send(prepared).status_code == 200


@pytest.mark.parametrize("kind", ["rewritten", "cut short", "rewritten on disk"])
@pytest.mark.parametrize("how", ["content", "files"])
def test_promise_5_a_file_that_has_changed_meanwhile_is_not_replayed(
    client: Client, kind: str, how: str, tmp_path: Path
) -> None:
    if (client.is_async and how == "content") or (client.name == "requests" and how == "files"):
        pytest.skip("is not sent as a file")
    file: Any = io.BytesIO(CONTENT) if kind == "rewritten" else opened(tmp_path)
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()

        def change_it(request: Received) -> Answer:
            if request.path == "/upload":
                if kind == "cut short":
                    (tmp_path / "body").write_bytes(CONTENT[:100])
                elif kind == "rewritten on disk":
                    (tmp_path / "body").write_bytes(CONTENT.swapcase().replace(b"1", b"2"))
                else:
                    file.getbuffer()[:5] = b"other"
            return api(request)

        server.handler = change_it
        options = {"content": file} if how == "content" else {"files": {"file": file}}
        reply = client.post(auth, server.url + "/upload", **options)
        assert (reply.status, reply.body) == (401, b"refused")
        assert client.get(auth, server.url + "/after").status == 200
    file.close()
    assert len(server.to("/upload")) == 1


def test_promise_5_bytes_that_can_be_changed_are_replayed_as_they_are(client: Client) -> None:
    if client.name != "requests":
        pytest.skip("httpx takes a bytearray for an iterable of numbers")
    status, received, _ = post_with_first_token_refused(client, content=bytearray(CONTENT))
    assert status == 200
    assert [one.body for one in received] == [CONTENT, CONTENT]


class BothWays(Chunks, AsyncChunks):
    """Can be iterated in sync and in async code."""


def test_promise_5_what_can_be_iterated_both_ways_is_sent_as_without_us(client: Client) -> None:
    if client.is_async:
        pytest.skip("AsyncClient takes it for a sync iterable, and refuses it")
    status, received, _ = post_with_first_token_refused(client, content=BothWays())
    assert status == 200
    assert [one.body for one in received] == [CONTENT, CONTENT]


class TellsButDoesNotSeek:
    """Counts what was read, and cannot go back."""

    def __init__(self) -> None:
        self.inner = io.BytesIO(b"once")

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.inner)

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(size)

    def tell(self) -> int:
        return self.inner.tell()


def test_promise_2_a_file_that_cannot_seek_is_sent_with_a_new_token_past_its_time(
    client: Client,
) -> None:
    if client.is_async:
        pytest.skip("AsyncClient takes no sync file as content")
    api = Api()
    api.token_answer["expires_in"] = 1e-9
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        assert client.post(auth, server.url + "/upload", TellsButDoesNotSeek()).status == 200
    assert [one.body for one in server.to("/upload")] == [b"once"]


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("attribute", ["_stream", "fields"])
def test_promise_6_a_stream_of_the_users_own_is_sent_as_it_is(library: Any, attribute: str) -> None:
    class Upper(library.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, chunks: list[bytes]) -> None:
            setattr(self, attribute, chunks)

        def __iter__(self) -> Iterator[bytes]:
            for chunk in getattr(self, attribute):
                yield chunk.upper()

    with api_server() as (server, _), library.Client(auth=auth_for(server.url)) as client:
        host = server.url.removeprefix("http://")
        headers = {"Host": host, "Transfer-Encoding": "chunked"}
        request = library.Request(
            "POST", server.url + "/a", headers=headers, stream=Upper([b"abc", b"def"])
        )
        assert client.send(request).status_code == 200
    assert [one.body for one in server.to("/a")] == [b"ABCDEF"]


def test_promise_3_a_401_that_cannot_be_read_costs_one_call_at_most(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "thebase_auth")
    if client.name.endswith("trio"):
        pytest.skip("httpx itself leaves a stream to trio's garbage collector here, which warns")
    api = Api()
    api.refusal = (401, {"Content-Encoding": "gzip"}, b"this is not gzip")
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/a")
        api.revoke()
        with suppress(client.error):
            client.get(auth, server.url + "/a")
        assert client.get(auth, server.url + "/a").status == 200
    assert ("not replaying GET /a after a 401" in caplog.text) is (client.name != "requests")


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("body", ["none", "stream"])
def test_promise_3_a_hook_that_raises_for_a_401_costs_one_call_in_sync_clients(
    library: Any, body: str
) -> None:
    hooks = {"response": [lambda response: response.raise_for_status()]}
    with (
        api_server() as (server, api),
        library.Client(auth=auth_for(server.url), event_hooks=hooks) as client,
    ):
        client.get(server.url + "/warm-up")
        api.revoke()
        with pytest.raises(library.HTTPStatusError):
            client.post(server.url + "/a", content=iter([b"abc"]) if body == "stream" else None)
        assert client.get(server.url + "/a").status_code == 200


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("set_by_the_401", "by_hand", "of_the_replay"),
    [
        ("n=2; Path=/", "a=1; a=2; flag; n=1", "a=1; a=2; flag; n=2"),
        ("n=2=3; Path=/", "a=1=1; n=1=1; b=1", "a=1=1; b=1; n=2=3"),
        ("n=; Max-Age=0; Path=/", "a=1; n=1", "a=1; n=1"),
    ],
)
def test_promise_6_a_cookie_header_written_by_hand_keeps_what_the_401_does_not_change(
    library: Any, set_by_the_401: str, by_hand: str, of_the_replay: str
) -> None:
    api = Api()
    api.refusal = (401, {"Set-Cookie": set_by_the_401}, b"")
    with api_server(api) as (server, _), library.Client(auth=auth_for(server.url)) as client:
        client.get(server.url + "/warm-up")
        api.revoke()
        client.cookies.clear()
        client.get(server.url + "/c", headers={"Cookie": by_hand})
    assert [one.headers["cookie"] for one in server.to("/c")] == [by_hand, of_the_replay]


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_promise_6_a_401_may_change_several_cookies_of_a_header_written_by_hand(
    library: Any,
) -> None:
    cookies: list[str] = []

    def handler(request: Any) -> Any:
        if request.url.path == "/oauth/token":
            return library.Response(200, json={"access_token": f"token-{len(cookies)}"})
        cookies.append(request.headers["Cookie"])
        changes = [("Set-Cookie", "a=2; Path=/"), ("Set-Cookie", "b=2; Path=/")]
        return (
            library.Response(401, headers=changes) if len(cookies) == 1 else library.Response(200)
        )

    auth = auth_for("https://acme.thebase.co.il")
    with library.Client(auth=auth, transport=library.MockTransport(handler)) as client:
        client.get("https://acme.thebase.co.il/c", headers={"Cookie": "a=1; b=1; c=1"})
    assert cookies == ["a=1; b=1; c=1", "c=1; a=2; b=2"]
