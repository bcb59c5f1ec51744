"""A replay sends the body that was sent first, or there is no replay."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.clients import Client, auth_for
from tests.support.servers import Received, Response, api_server
from tests.support.uploads import (
    CONTENT,
    AsyncOneShot,
    Chunks,
    OneShot,
    Unseekable,
    async_generator,
    opened,
    piped,
    post_with_first_token_rejected,
)
from tests.support.world import LIBRARIES

TEXT = "shalom " * 1000  # until 2.32, requests announces a wrong length for what is not ASCII


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Any]:
    with opened(tmp_path) as file:
        yield file


# Replayed


def half_of(file: Any) -> Any:
    file.seek(100_000)
    return file


CONTENTS: dict[str, Callable[[Any], Any]] = {
    "none": lambda file: None,
    "bytes": lambda file: CONTENT,
    "text": lambda file: TEXT,
    "BytesIO": lambda file: io.BytesIO(CONTENT),
    "file": lambda file: file,
    "half of a file": half_of,
    "list": lambda file: list(Chunks()),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_body_that_can_be_repeated_is_replayed_byte_for_byte(client: Client, kind: str, file: Any) -> None:
    if kind not in client.bodies:
        pytest.skip(f"{client} does not send such a body")
    status, received, _ = post_with_first_token_rejected(client, content=CONTENTS[kind](file))
    expected = {"none": b"", "text": TEXT.encode(), "half of a file": CONTENT[100_000:]}
    assert status == 200
    assert [one.body for one in received] == [expected.get(kind, CONTENT)] * 2


@pytest.mark.parametrize("form", ["json", "data"])
def test_json_and_forms_are_replayed_byte_for_byte(client: Client, form: str) -> None:
    value = {"name": "משה", "phone": "0501234567"}
    status, [first, second], _ = post_with_first_token_rejected(client, **{form: value})
    assert status == 200
    assert first.body == second.body != b""
    assert first.headers["content-type"] == second.headers["content-type"]


@pytest.mark.parametrize("position", [0, 100_000])
@pytest.mark.parametrize("kind", ["bytes", "BytesIO", "file"])
def test_multipart_is_replayed_byte_for_byte(client: Client, kind: str, position: int, file: Any) -> None:
    upload = CONTENTS[kind](file)
    if kind != "bytes":
        upload.seek(position)
    status, [first, second], _ = post_with_first_token_rejected(
        client, files={"file": ("name.txt", upload)}, data={"field": "ערך"}
    )
    assert status == 200
    assert first.body == second.body
    assert first.headers["content-type"] == second.headers["content-type"]
    assert CONTENT[100_000:] in first.body


# Sent once

ONE_SHOTS: dict[str, Callable[[], Any]] = {
    "generator": lambda: (chunk for chunk in Chunks()),
    "iterable that looks repeatable": OneShot,
    "unseekable file": Unseekable,
    "pipe": piped,
}
ASYNC_ONE_SHOTS: dict[str, Callable[[], Any]] = {
    "generator": async_generator,
    "iterable that looks repeatable": AsyncOneShot,
}


@pytest.mark.parametrize("kind", ONE_SHOTS)
def test_one_shot_body_is_not_replayed_and_the_401_is_the_callers(client: Client, kind: str) -> None:
    if kind not in client.bodies:
        pytest.skip(f"{client} does not send such a body")
    body = (ONE_SHOTS | ASYNC_ONE_SHOTS if client.is_async else ONE_SHOTS)[kind]()
    status, received, reply = post_with_first_token_rejected(client, content=body)
    assert (status, reply.body, reply.history) == (401, b"rejected", [])
    assert len(received) == 1
    if kind == "iterable that looks repeatable":
        assert body.times == 1  # nobody but the library has iterated it
    if kind == "pipe":
        body.close()


@pytest.mark.parametrize("library", LIBRARIES)
def test_stream_of_the_users_own_class_is_sent_once_and_as_it_is(library: Any) -> None:
    class Upper(library.SyncByteStream):
        def __init__(self) -> None:
            self._stream = self.fields = [b"abc", b"def"]  # names that the library's own streams have

        def __iter__(self) -> Iterator[bytes]:
            return (chunk.upper() for chunk in self._stream)

    with api_server() as (server, api), library.Client(auth=auth_for(server.url)) as client:
        client.get(server.url + "/warm-up")
        api.revoke()
        headers = {"Content-Length": "6", "Host": server.url.removeprefix("http://")}
        request = library.Request("POST", server.url + "/u", stream=Upper(), headers=headers)
        assert client.send(request).status_code == 401
    assert [one.body for one in server.to("/u")] == [b"ABCDEF"]


@pytest.mark.parametrize(
    ("how", "change"),
    [("content", "cut short"), ("files", "cut short"), ("files", "grown")],
    ids=["file, cut short", "multipart, cut short", "multipart, grown"],
)
def test_file_whose_length_has_changed_is_not_replayed(
    client: Client, how: str, change: str, file: Any
) -> None:
    if not (client.streams_files if how == "files" else "file" in client.bodies):
        pytest.skip("it is not sent as a file")

    def change_and_reject(request: Received) -> Response:
        if request.path == "/upload":
            os.truncate(file.name, len(CONTENT) + 10 if change == "grown" else 100)
        return api(request)

    with api_server() as (server, api):
        auth = auth_for(server.url)
        client.get(auth, server.url + "/warm-up")
        api.revoke()
        server.handler = change_and_reject
        reply = client.post(auth, server.url + "/upload", **{how: file if how == "content" else {"f": file}})
        assert (reply.status, reply.body) == (401, b"rejected")
        assert client.get(auth, server.url + "/after").status == 200
    assert len(server.to("/upload")) == 1
    assert api.token_requests == 2


# Sent again by their owner


def test_prepared_request_is_sent_whole_each_time_and_keeps_its_file(file: Any) -> None:
    with api_server() as (server, api), requests.Session() as session:
        session.auth = auth_for(server.url)
        session.get(server.url + "/warm-up")
        prepared = session.prepare_request(requests.Request("POST", server.url + "/upload", data=file))
        for _ in range(2):
            file.seek(0)
            api.revoke()
            response = session.send(prepared)
            assert (response.status_code, len(response.history)) == (200, 1)
            assert prepared.body is file
            assert response.request.body is file
    assert [one.body for one in server.to("/upload")] == [CONTENT] * 4


@pytest.mark.parametrize("library", LIBRARIES)
def test_httpx_request_is_sent_whole_each_time_and_keeps_its_file(library: Any, file: Any) -> None:
    with api_server() as (server, api), library.Client(auth=auth_for(server.url)) as client:
        client.get(server.url + "/warm-up")
        request = client.build_request("POST", server.url + "/upload", content=file)
        stream = request.stream
        for _ in range(2):
            file.seek(0)
            api.revoke()
            response = client.send(request)
            assert (response.status_code, len(response.history)) == (200, 1)
            assert request.stream is stream
    assert [one.body for one in server.to("/upload")] == [CONTENT] * 4
