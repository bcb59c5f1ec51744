"""A replay sends the bytes that were sent first, or there is no replay."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import requests
import urllib3

from tests.support.clients import AsyncHttpx, Client, auth_for
from tests.support.servers import Answer, Api, Received, api_server
from tests.support.uploads import (
    CONTENT,
    AsyncChunks,
    AsyncOnceInDisguise,
    Chunks,
    OnceInDisguise,
    Unseekable,
    async_generator,
    from_an_offset,
    opened,
    piped,
    post_with_first_token_refused,
    takes_a_pipe_for_empty,
)

REPLAYED = {
    "bytes": lambda folder: CONTENT,
    "text": lambda folder: "שלום " * 1000,
    "BytesIO": lambda folder: io.BytesIO(CONTENT),
    "file": opened,
}


@pytest.mark.parametrize("kind", [*REPLAYED, "none"])
def test_a_body_that_can_be_repeated_is_replayed_byte_for_byte(
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
def test_a_file_is_replayed_from_where_it_began(client: Client, kind: str, tmp_path: Path) -> None:
    if client.is_async:
        pytest.skip("AsyncClient takes no sync file as content")
    file = from_an_offset(REPLAYED[kind](tmp_path))
    # httpx counts a file's length from its beginning; the caller has to say what is left.
    headers = {"Content-Length": str(len(CONTENT) - 100_000)}
    status, received, _ = post_with_first_token_refused(client, content=file, headers=headers)
    file.close()
    assert status == 200
    assert [one.body for one in received] == [CONTENT[100_000:]] * 2


def test_an_iterable_is_replayed_byte_for_byte(client: Client) -> None:
    body = AsyncChunks() if client.is_async else Chunks()
    status, received, _ = post_with_first_token_refused(client, content=body)
    assert status == 200
    assert [one.body for one in received] == [CONTENT, CONTENT]


def test_a_replay_sends_the_bytes_that_were_found_to_be_the_same(client: Client) -> None:
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
def test_a_file_is_not_read_into_memory_for_its_replay(library: Any, tmp_path: Path) -> None:
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
def test_a_body_that_can_be_sent_once_is_not_replayed_and_the_401_is_the_callers(
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
def test_multipart_is_replayed_byte_for_byte(client: Client, kind: str, tmp_path: Path) -> None:
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


def test_multipart_with_a_stream_that_cannot_go_back_is_not_replayed(
    client: Client,
) -> None:
    if client.name == "requests":
        pytest.skip("requests reads the file into memory")
    stream = Unseekable()
    status, received, _ = post_with_first_token_refused(client, files={"file": stream})
    assert status == 401
    assert len(received) == 1


@pytest.mark.parametrize("form", ["json", "data"])
def test_json_and_forms_are_replayed_byte_for_byte(client: Client, form: str) -> None:
    value = {"name": "משה", "phone": "0501234567"}
    status, received, _ = post_with_first_token_refused(client, **{form: value})
    assert status == 200
    assert received[0].body == received[1].body != b""
    assert received[0].headers["content-type"] == received[1].headers["content-type"]


@pytest.mark.parametrize("how", ["raw stream", "iterated twice"])
def test_a_stream_of_unknown_kind_is_not_replayed(client: Client, how: str) -> None:
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


@pytest.mark.parametrize("how", ["content", "files"])
def test_a_file_that_has_grown_meanwhile_is_replayed_as_it_was(
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


def test_a_file_that_changes_while_the_token_is_fetched_is_not_replayed() -> None:
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


def test_a_file_with_a_length_of_its_own_is_sent_with_it() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/warm-up")
        api.revoke()
        assert session.post(server.url + "/upload", data=Window()).status_code == 200
    assert [one.headers["content-length"] for one in server.to("/upload")] == ["1000", "1000"]
    assert [one.body for one in server.to("/upload")] == [CONTENT[:1000]] * 2


def test_an_iterable_may_give_empty_chunks() -> None:
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


def test_a_response_to_a_file_can_be_pickled_and_copied() -> None:
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
def test_a_file_that_has_changed_meanwhile_is_not_replayed(
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


def test_bytes_that_can_be_changed_are_replayed_as_they_are(client: Client) -> None:
    if client.name != "requests":
        pytest.skip("httpx takes a bytearray for an iterable of numbers")
    status, received, _ = post_with_first_token_refused(client, content=bytearray(CONTENT))
    assert status == 200
    assert [one.body for one in received] == [CONTENT, CONTENT]


class BothWays(Chunks, AsyncChunks):
    """Can be iterated in sync and in async code."""


def test_what_can_be_iterated_both_ways_is_sent_as_without_us(client: Client) -> None:
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


def test_a_file_that_cannot_seek_is_sent_with_a_new_token_past_its_time(
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
def test_a_stream_of_the_users_own_is_sent_as_it_is(library: Any, attribute: str) -> None:
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
