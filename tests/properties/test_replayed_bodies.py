"""A replay carries what the first sending carried, or there is none: any body, each library.

The first sending, and where it leaves the user's files, are those of a call without us, and so is where a
replay leaves them. A body that is overwritten with as many bytes is beyond the promise.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
import pytest
import requests
import trio
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util.request import body_to_chunks

from tests.support.adapters import FakeAdapter, response_to
from tests.support.clients import auth_for, run_asyncio

DOMAIN = "acme.thebase.co.il"
URL = f"https://{DOMAIN}/upload"
BOUNDARY = "0123456789abcdef"


async def async_generator(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


class Unseekable(io.RawIOBase):
    def __init__(self, content: bytes) -> None:
        self.inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.inner.readinto(buffer)


@dataclass
class Body:
    """How to make a body, as often as one like it is needed."""

    kind: str
    chunks: list[bytes]
    offset: int
    parts: list[tuple[str, bytes, int]]  # kind, content, offset


@dataclass
class Made:
    """A body as the arguments of a call, the user's files in it, and whether it can be sent again."""

    options: dict[str, Any]
    files: list[Any] = field(default_factory=list)
    is_once_only: bool = False


def a_file(kind: str, content: bytes, offset: int, opened: ExitStack) -> Any:
    if kind == "bytes":
        return content
    if kind == "unseekable":
        return Unseekable(content)
    file = io.BytesIO() if kind == "BytesIO" else opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    file.write(content)
    file.seek(min(offset, len(content)))
    return file


def made(body: Body, opened: ExitStack, *, is_async: bool) -> Made:
    content = b"".join(body.chunks)
    match body.kind:
        case "bytes":
            return Made({"content": content})
        case "list":
            return Made({"content": body.chunks})
        case "form":
            return Made({"data": {"name": content.hex()}})
        case "BytesIO" | "file":
            file = a_file(body.kind, content, body.offset, opened)
            return Made({"content": file}, [file])
        case "unseekable":
            return Made({"content": Unseekable(content)}, is_once_only=True)
        case "generator":
            chunks = async_generator(body.chunks) if is_async else (chunk for chunk in body.chunks)
            return Made({"content": chunks}, is_once_only=True)
    files = [a_file(*part, opened) for part in body.parts]
    parts = [(f"field {number}", ("x.bin", file)) for number, file in enumerate(files)]
    return Made(
        {"files": parts, "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}},
        [file for file in files if not isinstance(file, (bytes, Unseekable))],
        is_once_only=any(isinstance(file, Unseekable) for file in files),
    )


CONTENTS = st.builds(bytes.__mul__, st.binary(max_size=5), st.sampled_from([0, 1, 3, 100, 30_000]))
KINDS = ["bytes", "list", "form", "BytesIO", "file", "unseekable", "generator"]
BODIES = st.builds(
    Body,
    kind=st.sampled_from([*KINDS, "BytesIO", "file", "multipart", "multipart", "multipart"]),
    chunks=st.lists(CONTENTS, max_size=5),
    offset=st.sampled_from([0, 1, 7, 65_536, 10**6]),
    parts=st.lists(
        st.tuples(
            st.sampled_from(["bytes", "BytesIO", "file", "BytesIO", "file", "unseekable"]),
            CONTENTS,
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=3,
    ),
)


def cut_short(file: Any) -> None:
    file.seek(0)
    file.truncate()


def lengthen(file: Any) -> None:
    file.seek(0, io.SEEK_END)
    file.write(b"x")
    file.flush()


def close(file: Any) -> None:
    file.close()


class World:
    """TheBase without a network, which keeps the bodies that it is sent, and may do something at a 401."""

    def __init__(self, at_401: Callable[[], None] = lambda: None) -> None:
        self.at_401 = at_401
        self.tokens = 0
        self.live = ""
        self.bodies: list[bytes] = []

    def respond(self, path: str, request: Any, received: bytes) -> tuple[int, bytes]:
        """Return status and body."""
        if path == "/oauth/token":
            self.tokens += 1
            self.live = f"token-{self.tokens}"
            return 200, b'{"access_token": "%s"}' % self.live.encode()
        # What h11 would not send: a file that was announced from its beginning, but not sent so.
        assert request.headers.get("Content-Length") in {None, str(len(received))}
        self.bodies.append(received)
        if request.headers["Authorization"] in {"none", f"Bearer {self.live}"}:
            return 200, b""
        self.at_401()
        return 401, b""


def no_auth(request: Any) -> Any:
    request.headers["Authorization"] = "none"
    return request


def post_with_requests(world: World, auth: Any, options: dict[str, Any]) -> int:
    def respond(request: requests.PreparedRequest) -> requests.Response:
        chunks: Any = ()
        if request.body is not None and request.headers.get("Content-Length") != "0":  # as urllib3 does
            chunks = body_to_chunks(request.body, request.method or "", 16_384).chunks or ()
        received = b"".join(chunk if isinstance(chunk, bytes) else chunk.encode() for chunk in chunks)
        status, body = world.respond(request.path_url, request, received)
        return response_to(request, body, status)

    options = {"data" if name == "content" else name: value for name, value in options.items()}
    with FakeAdapter(respond).session() as session:
        if auth is not no_auth:
            auth._session = session
        return session.post(URL, auth=auth, **options).status_code


def post_with(library: Any, run: Callable[..., Any] | None = None) -> Callable[..., int]:
    class Transport(library.BaseTransport, library.AsyncBaseTransport):
        def __init__(self, world: World) -> None:
            self.world = world

        def handle_request(self, request: Any) -> Any:
            return self.respond(request, b"".join(request.stream))

        async def handle_async_request(self, request: Any) -> Any:
            return self.respond(request, b"".join([chunk async for chunk in request.stream]))

        def respond(self, request: Any, received: bytes) -> Any:
            status, body = self.world.respond(request.url.path, request, received)
            return library.Response(status, content=body)

    def post(world: World, auth: Any, options: dict[str, Any]) -> int:
        with library.Client(auth=auth, transport=Transport(world)) as client:
            return int(client.post(URL, **options).status_code)

    async def post_async(world: World, auth: Any, options: dict[str, Any]) -> int:
        async with library.AsyncClient(auth=auth, transport=Transport(world)) as client:
            return int((await client.post(URL, **options)).status_code)

    return post if run is None else lambda *arguments: run(lambda: post_async(*arguments))


POSTS: dict[str, tuple[Callable[..., int], bool]] = {
    "requests": (post_with_requests, False),
    "httpx": (post_with(httpx), False),
    "httpx2 on asyncio": (post_with(httpx2, run_asyncio), True),
    "httpx on trio": (post_with(httpx, trio.run), True),
}


def positions(files: list[Any]) -> list[int | None]:
    return [None if file.closed else file.tell() for file in files]


@pytest.mark.parametrize("library", POSTS)
@given(BODIES, st.sampled_from([None, None, None, cut_short, lengthen, close]), st.integers(0, 2))
def test_replay_carries_what_the_first_sending_carried(
    library: str, body: Body, change: Callable[[Any], None] | None, which: int
) -> None:
    post, is_async = POSTS[library]
    with ExitStack() as opened, pytest.MonkeyPatch.context() as patch:
        patch.setattr(urllib3.filepost, "choose_boundary", lambda: BOUNDARY)
        plain, ours = (made(body, opened, is_async=is_async) for _ in range(2))
        is_changed = change is not None and bool(ours.files)

        def change_a_file() -> None:
            if change is not None and ours.files:
                change(ours.files[which % len(ours.files)])

        plain_world, world, auth = World(), World(change_a_file), auth_for(DOMAIN)
        try:
            post(plain_world, no_auth, plain.options)
        except Exception:
            return  # the library takes no such body
        (whole,) = plain_world.bodies
        assert post(world, auth, {}) == 200
        world.live = "revoked"
        status = post(world, auth, ours.options)

        _, first, *again = world.bodies
        assert status == (200 if again else 401)
        assert first == whole
        assert again in ([], [whole])
        is_in_memory = library == "requests" and body.kind == "multipart"  # since the request was prepared
        if ours.is_once_only and not is_in_memory:
            assert again == []
        elif whole and not is_changed:
            assert again == [whole]
        if not is_changed:
            assert positions(ours.files) == positions(plain.files)
