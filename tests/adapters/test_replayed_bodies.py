"""A replay sends the bytes that were sent first, or there is no replay."""

from __future__ import annotations

import copy
import io
import os
import pickle
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.support.clients import AsyncHttpx, Client, Httpx, auth_for
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
from thebase_auth import ReplayError, Token

REPLAYED: dict[str, Callable[[Path], Any]] = {
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
    if kind == "text" and client.name == "requests" and version("urllib3") < "2":
        pytest.skip("the old urllib3 takes text of Latin-1 alone")
    body: Any = REPLAYED[kind](tmp_path) if kind in REPLAYED else None
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


@pytest.mark.parametrize(
    "kind", ["generator", "iterator", "map", "iterable", "deque", "disguise", "unseekable", "pipe"]
)
def test_a_body_that_can_be_sent_once_is_not_replayed_and_the_401_is_the_callers(
    client: Client, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "thebase_auth")
    body: Any
    if client.is_async:
        kinds = {"generator": async_generator, "iterable": AsyncChunks, "disguise": AsyncOnceInDisguise}
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
            "iterable": Chunks,
            "deque": lambda: deque(Chunks()),
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
    file: Any = {
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


def test_multipart_with_a_stream_that_cannot_go_back_is_not_replayed(client: Client) -> None:
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
    if not isinstance(client, (Httpx, AsyncHttpx)):
        pytest.skip("of httpx and httpx2")
    library: Any = client.library

    class Stream(library.SyncByteStream, library.AsyncByteStream):
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


def test_a_response_to_a_file_can_be_pickled_and_copied() -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        response = session.post(server.url + "/upload", data=io.BytesIO(b"abc"))
        for again in (pickle.loads(pickle.dumps(response)), copy.deepcopy(response)):
            body: Any = again.request.body
            assert body.getvalue() == b"abc"
        api.revoke()
        prepared = copy.deepcopy(session.prepare_request(requests.Request("GET", server.url + "/a")))
        assert session.send(prepared).status_code == 200


def test_bytes_that_can_be_changed_are_replayed_as_they_are(client: Client) -> None:
    if client.name != "requests":
        pytest.skip("httpx takes a bytearray for an iterable of numbers")
    status, received, _ = post_with_first_token_refused(client, content=bytearray(CONTENT))
    assert status == 200
    assert [one.body for one in received] == [CONTENT, CONTENT]


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("attribute", ["_stream", "fields"])
def test_a_stream_of_the_users_own_is_sent_as_it_is(library: Any, attribute: str) -> None:
    class Upper(library.SyncByteStream):
        def __init__(self, chunks: list[bytes]) -> None:
            setattr(self, attribute, chunks)

        def __iter__(self) -> Iterator[bytes]:
            for chunk in getattr(self, attribute):
                yield chunk.upper()

    with api_server() as (server, _), library.Client(auth=auth_for(server.url)) as client:
        host = server.url.removeprefix("http://")
        headers = {"Host": host, "Transfer-Encoding": "chunked"}
        request = library.Request("POST", server.url + "/a", headers=headers, stream=Upper([b"abc", b"def"]))
        assert client.send(request).status_code == 200
    assert [one.body for one in server.to("/a")] == [b"ABCDEF"]


# Iterables


@pytest.mark.parametrize("sequence", [list, tuple])
def test_a_list_of_bytes_is_replayed(client: Client, sequence: type) -> None:
    if client.name == "requests" or client.is_async:
        pytest.skip("of the sync clients of httpx and httpx2")
    status, received, _ = post_with_first_token_refused(client, content=sequence(Chunks()))
    assert status == 200
    assert [one.body for one in received] == [CONTENT, CONTENT]


def test_an_iterable_is_iterated_once_even_where_its_next_turn_would_block(client: Client) -> None:
    turns: list[str] = []

    class Queue:
        """As one that somebody else fills: a second reader would wait for ever."""

        def __iter__(self) -> Iterator[bytes]:
            assert not turns
            turns.append("sync")
            yield CONTENT

    class AsyncQueue:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            assert not turns
            turns.append("async")
            yield CONTENT

    body = AsyncQueue() if client.is_async else Queue()
    status, received, _ = post_with_first_token_refused(client, content=body)
    assert (status, len(turns)) == (401, 1)
    assert [one.body for one in received] == [CONTENT]


# Files that change


class Changing:
    """A handler that lets a file change once: when it is refused, or while a token is fetched."""

    def __init__(self, api: Api, when: str, change: Callable[[], object]) -> None:
        self.api = api
        self.when = when
        self.change = [change]

    def __call__(self, request: Received) -> Answer:
        if request.path == self.when and self.change:
            self.change.pop()()
        return self.api(request)


CHANGES: dict[str, Callable[[Path], object]] = {
    "grown": lambda path: path.write_bytes(CONTENT + b"one more line"),
    "cut short": lambda path: os.truncate(path, 100),
    "rewritten": lambda path: path.write_bytes(CONTENT.swapcase().replace(b"1", b"2")),
}


@pytest.mark.parametrize("when", ["/upload", "/oauth/token"])
@pytest.mark.parametrize("how", ["content", "files"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_has_changed_meanwhile_is_not_replayed(
    client: Client, change: str, how: str, when: str, tmp_path: Path
) -> None:
    if (client.is_async and how == "content") or (client.name == "requests" and how == "files"):
        pytest.skip("is not sent as a file")
    if (change, how, when) == ("grown", "content", "/upload"):
        pytest.skip("the library itself would read on, beyond the length that it has announced")
    with api_server() as (server, api), opened(tmp_path) as file:
        path = tmp_path / "body"
        os.utime(path, ns=(0, 0))
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        server.handler = Changing(api, when, lambda: CHANGES[change](path))
        options = {"content": file} if how == "content" else {"files": {"file": file}}
        if when == "/oauth/token" and client.name != "requests":
            # The client has sent the token request last, and could not give the 401 back.
            with pytest.raises(client.error, match=r"POST /upload.*its body changed") as caught:
                client.post(auth, server.url + "/upload", **options)
            assert isinstance(caught.value, ReplayError)
        else:
            reply = client.post(auth, server.url + "/upload", **options)
            assert (reply.status, reply.body) == (401, b"refused")
        assert client.get(auth, server.url + "/after").status == 200
    assert len(server.to("/upload")) == 1
    assert api.token_requests == 2


def test_a_file_that_changed_while_another_caller_renewed_leaves_the_401_to_its_caller(
    tmp_path: Path,
) -> None:
    path = tmp_path / "body"
    with api_server() as (server, api), opened(tmp_path) as file:
        os.utime(path, ns=(0, 0))
        auth = auth_for(server.url)
        other = Httpx(httpx)
        other.get(auth, server.url + "/warm-up")

        def renewed_meanwhile(request: Received) -> Answer:
            if request.path == "/upload":
                api.revoke()
                other.get(auth, server.url + "/other")
                os.utime(path, ns=(1, 1))
                return api.refusal
            return api(request)

        server.handler = renewed_meanwhile
        reply = other.post(auth, server.url + "/upload", file)
    assert (reply.status, reply.history) == (401, [])
    assert len(server.to("/upload")) == 1


def test_a_buffer_that_has_grown_meanwhile_is_replayed_as_it_was_announced(client: Client) -> None:
    if client.is_async:
        pytest.skip("AsyncClient takes no sync file as content")
    file = io.BytesIO(CONTENT)

    def grow() -> None:
        file.seek(0, io.SEEK_END)
        file.write(b"one more line")

    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        server.handler = Changing(api, "/oauth/token", grow)
        assert client.post(auth, server.url + "/upload", file).status == 200
    assert [one.body for one in server.to("/upload")] == [CONTENT] * 2


def test_of_a_buffer_that_has_grown_meanwhile_no_byte_more_is_read() -> None:
    file = io.BytesIO(CONTENT)
    read: list[bytes] = []

    class Transport(HTTPAdapter):
        def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
            read.append(b"".join(request.body))
            file.write(b"one more line")
            auth.forget()
            auth._core.shared.token = Token("of another caller")
            response = requests.Response()
            response.status_code = 401 if len(read) == 1 else 200
            response._content, response.request, response.url = b"", request, request.url
            response.connection = self
            return response

    auth = auth_for("acme.thebase.co.il")
    auth._core.shared.token = Token("refused")
    with requests.Session() as session:
        session.mount("https://", Transport())
        response = session.post("https://acme.thebase.co.il/upload", data=file, auth=auth)
    assert (response.status_code, read) == (200, [CONTENT] * 2)


# Sent again by their owner


class Counted(io.BytesIO):
    """Counts the bytes that are read from it."""

    read_so_far = 0

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self.read_so_far += len(chunk)
        return chunk


def test_a_prepared_request_is_sent_whole_each_time_and_keeps_the_users_file() -> None:
    file = Counted(CONTENT)
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/warm-up")
        prepared = session.prepare_request(requests.Request("POST", server.url + "/upload", data=file))
        for sending in range(1, 4):
            api.revoke()
            session.get(server.url + "/renew")
            response = session.send(prepared)
            assert response.status_code == 200
            assert [one.status_code for one in response.history] == [401]
            for one in (*response.history, response):
                sent: Any = one.request.body
                assert sent is file
            assert file.read_so_far == 2 * sending * len(CONTENT)
            file.seek(0)
    assert [one.body for one in server.to("/upload")] == [CONTENT] * 6


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_an_httpx_request_is_sent_whole_each_time_and_keeps_the_users_file(library: Any) -> None:
    file = Counted(CONTENT)
    with api_server() as (server, api), library.Client(auth=auth_for(server.url)) as client:
        client.get(server.url + "/warm-up")
        request = client.build_request("POST", server.url + "/upload", content=file)
        stream = request.stream
        for sending in range(1, 4):
            api.revoke()
            response = client.send(request)
            assert response.status_code == 200
            assert [one.status_code for one in response.history] == [401]
            for one in (*response.history, response):
                assert one.request.stream is stream
            assert file.read_so_far == 2 * sending * len(CONTENT)
            file.seek(0)
        assert client.send(request).history == []
    assert [one.body for one in server.to("/upload")] == [CONTENT] * 7


# What is not risked on a token past its time


@pytest.mark.parametrize(
    ("body", "is_risky"),
    [
        (lambda: b"x" * (2**20 + 1), True),
        (lambda: io.BytesIO(b"x" * (2**20 + 1)), True),
        (lambda: iter([b"once"]), True),
        (lambda: b"x" * 2**20, False),
        (lambda: io.BytesIO(b"x" * 2**20), False),
    ],
    ids=["long bytes", "long file", "once", "bytes", "file"],
)
def test_a_long_body_or_one_that_can_be_sent_once_waits_for_a_token_in_its_time(
    client: Client, body: Callable[[], Any], is_risky: bool
) -> None:
    if client.is_async and not isinstance(body(), bytes):
        pytest.skip("AsyncClient takes no sync body as content")
    api = Api()
    api.token_answer["expires_in"] = 1e-9
    with api_server(api) as (server, _):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        assert client.post(auth, server.url + "/upload", body()).status == 200
    assert len(server.to("/upload")) == (1 if is_risky else 2)


def test_a_long_body_is_sent_with_a_token_in_its_time(client: Client) -> None:
    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        assert client.post(auth, server.url + "/upload", b"x" * 2**21).status == 200
    assert api.token_requests == 1
