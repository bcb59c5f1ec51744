"""A replay carries byte for byte what the first sending carried, or there is none: any body, each library.

The first sending, and where it leaves the user's files, are those of a call without us, and so is where a
replay leaves them. A buffer in memory that is overwritten in place is beyond the promise: nothing tells.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
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
from requests.adapters import HTTPAdapter

from tests.support.clients import auth_for

try:
    from urllib3.util.request import body_to_chunks
except ImportError:
    pytest.skip("the old urllib3 does not tell how it reads a body", allow_module_level=True)

DOMAIN = "acme.thebase.co.il"
BOUNDARY = "0123456789abcdef"


class Chunks:
    """A body that can be iterated any number of times, in sync code."""

    def __init__(self, chunks: list[Any]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[Any]:
        yield from self.chunks


class AsyncChunks(Chunks):
    """In async code alone."""

    __iter__ = None  # type: ignore[assignment]

    async def __aiter__(self) -> AsyncIterator[Any]:
        for chunk in self.chunks:
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
    text: str
    offset: int
    parts: list[tuple[str, str, bytes, int]]  # field, kind, content, offset
    fields: dict[str, str]

    @property
    def content(self) -> bytes:
        return b"".join(self.chunks)


@dataclass
class Made:
    """A body as the arguments of a call, and the user's files in it."""

    options: dict[str, Any]
    files: list[Any] = field(default_factory=list)
    once_only: bool = False


def a_file(kind: str, content: bytes, offset: int, opened: ExitStack) -> Any:
    match kind:
        case "bytes":
            return content
        case "BytesIO":
            file: Any = io.BytesIO(content)
        case "file":
            file = opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            file.write(content)
        case "unseekable":
            return Unseekable(content)
    file.seek(min(offset, len(content)))
    return file


def made(body: Body, opened: ExitStack, *, is_async: bool) -> Made:
    iterable: Callable[[Any], Any] = AsyncChunks if is_async else Chunks
    match body.kind:
        case "nothing":
            return Made({})
        case "bytes":
            return Made({"content": body.content})
        case "text":
            return Made({"content": body.text})
        case "BytesIO" | "file":
            file = a_file(body.kind, body.content, body.offset, opened)
            return Made({"content": file}, [file])
        case "text file":
            new = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115
            text_file = opened.enter_context(new)
            text_file.write(body.text)
            text_file.seek(0)
            return Made({"content": text_file}, [text_file])
        case "unseekable":
            return Made({"content": Unseekable(body.content)}, once_only=True)
        case "list":
            return Made({"content": body.chunks})
        case "iterable":
            return Made({"content": iterable(body.chunks)}, once_only=True)
        case "iterable of text":
            return Made({"content": iterable([body.text, "", body.text])}, once_only=True)
        case "generator":
            chunks = iterable(body.chunks)
            return Made({"content": aiter(chunks) if is_async else iter(chunks)}, once_only=True)
        case "iterator":
            return Made({"content": iter(body.chunks)}, once_only=True)
        case "form":
            return Made({"data": body.fields})
        case "JSON":
            return Made({"json": [body.fields, body.text]})
        case _:
            parts = [
                (name, (f"{name}.bin", a_file(kind, content, offset, opened)))
                for name, kind, content, offset in body.parts
            ]
            files = [file for _, (_, file) in parts if not isinstance(file, bytes)]
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            return Made(
                {"files": parts, "data": body.fields, "headers": headers},
                [file for file in files if not isinstance(file, Unseekable)],
                once_only=any(isinstance(file, Unseekable) for file in files),
            )


CONTENTS = st.builds(
    lambda unit, times: unit * times, st.binary(max_size=5), st.sampled_from([0, 1, 3, 100, 30_000])
)
BODIES = st.builds(
    Body,
    kind=st.sampled_from([
        "nothing", "bytes", "text", "BytesIO", "file", "text file", "unseekable", "list", "iterable", "iterable of text",
        "generator", "iterator", "form", "JSON", "multipart", "multipart", "multipart",
    ]),
    chunks=st.lists(CONTENTS | st.just(b""), max_size=5),
    text=st.text(max_size=30),
    offset=st.sampled_from([0, 1, 7, 65_536, 10**6]),
    parts=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "שם"]),
            st.sampled_from(["bytes", "BytesIO", "file", "BytesIO", "file", "unseekable"]),
            CONTENTS,
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=3,
    ),
    fields=st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=10), max_size=3),
)  # fmt: skip
CHANGES = ["", "", "", "", "overwritten", "cut short", "longer", "closed"]


def change(file: Any, how: str) -> None:
    """What somebody does to a file that has just been sent."""
    if how == "closed":
        file.close()
        return
    position = file.tell()
    file.seek(0)
    first = file.read(1)
    text = isinstance(first, str)
    match how:
        case "overwritten":
            file.seek(0)
            new = chr(ord(first or "a") % 100 + 32) if text else bytes([(first or b"a")[0] ^ 1])
            file.write(new)
        case "cut short":
            file.seek(0)
            file.truncate()
        case "longer":
            file.seek(0, io.SEEK_END)
            file.write("x" if text else b"x")
    if not isinstance(file, io.BytesIO):
        file.flush()
        os.utime(file.fileno(), ns=(1, 1))  # later than it was by more than a clock of files can tell
    if not text:
        file.seek(position)


class World:
    """TheBase without a network, which keeps the bodies that it is sent.

    Args:
        takes: How many chunks of a body it reads before it refuses it; None for all, as in async clients.
        and_then: What happens at a refusal.
    """

    def __init__(self, takes: int | None = None, and_then: Callable[[], None] = lambda: None) -> None:
        self.takes = takes
        self.and_then = and_then
        self.tokens = 0
        self.live = ""
        self.sendings: list[bytes] = []
        self.read_to_its_end = True

    def limit(self, authorization: str) -> int | None:
        """How many chunks of a request with this header are read."""
        return self.takes if self.refuses(authorization) else None

    def refuses(self, authorization: str) -> bool:
        return authorization.partition(" ")[0] == "Bearer" and authorization != f"Bearer {self.live}"

    def answer(
        self, path: str, authorization: str, received: bytes, *, to_its_end: bool
    ) -> tuple[int, bytes]:
        """Status and body."""
        if path == "/oauth/token":
            assert received == b"grant_type=client_credentials"
            self.tokens += 1
            self.live = f"token-{self.tokens}"
            return 200, b'{"access_token": "%s"}' % self.live.encode()
        self.sendings.append(received)
        if not self.refuses(authorization):
            return 200, b""
        self.read_to_its_end = to_its_end
        self.and_then()
        return 401, b""


def some_of(chunks: Iterable[Any], limit: int | None) -> tuple[bytes, bool]:
    """What is received if the connection is closed after so many chunks, and whether that was all."""
    received = b""
    for number, chunk in enumerate(chunks):
        if number == limit:
            return received, False
        received += chunk if isinstance(chunk, bytes) else chunk.encode()
    return received, True


class Adapter(HTTPAdapter):
    """Reads a body as urllib3 does."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.body is None or request.headers.get("Content-Length") == "0":
            chunks: Any = ()
        else:
            chunks = body_to_chunks(request.body, request.method, 16_384).chunks or ()
        authorization = request.headers["Authorization"]
        received, to_its_end = some_of(chunks, self.world.limit(authorization))
        status, body = self.world.answer(request.path_url, authorization, received, to_its_end=to_its_end)
        response = self.build_response(
            request, urllib3.HTTPResponse(io.BytesIO(body), {}, status, preload_content=False)
        )
        response.connection = self
        return response


def no_auth(request: Any) -> Any:
    request.headers["Authorization"] = "none"
    return request


def post_by_requests(world: World, auth: Any, options: dict[str, Any]) -> int:
    options = {"data" if name == "content" else name: value for name, value in options.items()}
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", Adapter(world))
        if auth is not no_auth:
            auth._session = session
        return session.post(f"https://{DOMAIN}/upload", auth=auth, **options).status_code


def check_length(request: Any, received: bytes) -> None:
    """Refuse to send what h11 refuses: a file that was announced from its beginning, but not sent so."""
    announced = request.headers.get("Content-Length")
    assert announced in (None, str(len(received))), "Too little data for declared Content-Length"


def post_by(library: Any) -> Callable[..., int]:
    class Transport(library.BaseTransport):
        def __init__(self, world: World) -> None:
            self.world = world

        def handle_request(self, request: Any) -> Any:
            authorization = request.headers["Authorization"]
            received, all_of_it = some_of(request.stream, self.world.limit(authorization))
            if all_of_it:
                check_length(request, received)
            status, body = self.world.answer(request.url.path, authorization, received, to_its_end=all_of_it)
            return library.Response(status, content=body)

    def post(world: World, auth: Any, options: dict[str, Any]) -> int:
        with library.Client(auth=auth, transport=Transport(world)) as client:
            return int(client.post(f"https://{DOMAIN}/upload", **options).status_code)

    return post


def post_async_by(library: Any, run: Callable[..., Any]) -> Callable[..., int]:
    class Transport(library.AsyncBaseTransport):
        def __init__(self, world: World) -> None:
            self.world = world

        async def handle_async_request(self, request: Any) -> Any:
            authorization = request.headers["Authorization"]
            received = b"".join([chunk async for chunk in request.stream])
            check_length(request, received)
            status, body = self.world.answer(request.url.path, authorization, received, to_its_end=True)
            return library.Response(status, content=body)

    async def post(world: World, auth: Any, options: dict[str, Any]) -> int:
        async with library.AsyncClient(auth=auth, transport=Transport(world)) as client:
            return int((await client.post(f"https://{DOMAIN}/upload", **options)).status_code)

    return lambda *arguments: run(post, *arguments)


def run_asyncio(function: Any, *arguments: Any) -> Any:
    return asyncio.run(function(*arguments))


POSTS: dict[str, tuple[Callable[..., int], bool]] = {
    "requests": (post_by_requests, False),
    "httpx": (post_by(httpx), False),
    "httpx2": (post_by(httpx2), False),
    "httpx on asyncio": (post_async_by(httpx, run_asyncio), True),
    "httpx2 on trio": (post_async_by(httpx2, trio.run), True),
}


def positions(files: list[Any]) -> list[int | None]:
    return [None if file.closed else file.tell() for file in files]


@pytest.mark.parametrize("library", POSTS)
@given(BODIES, st.none() | st.none() | st.integers(0, 3), st.sampled_from(CHANGES), st.integers(0, 2))
def test_what_is_sent_again_is_what_was_sent_at_first(
    library: str, body: Body, takes: int | None, changed: str, which: int
) -> None:
    post, is_async = POSTS[library]
    with ExitStack() as opened:
        opened.enter_context(pytest.MonkeyPatch.context()).setattr(
            urllib3.filepost, "choose_boundary", lambda: BOUNDARY
        )
        plain, ours = (made(body, opened, is_async=is_async) for _ in range(2))
        changed = changed if ours.files else ""

        def change_a_file() -> None:
            if changed:
                change(ours.files[which % len(ours.files)], changed)

        plain_world, world, auth = World(), World(takes, change_a_file), auth_for(DOMAIN)
        try:
            post(plain_world, no_auth, plain.options)
        except Exception:
            return  # the library takes no such body
        (whole,) = plain_world.sendings
        assert post(world, auth, {}) == 200
        world.live = "revoked"
        status = post(world, auth, ours.options)

        if changed == "overwritten" and any(isinstance(one, io.BytesIO) for one in ours.files):
            return

        _, first, *again = world.sendings
        assert status == (200 if again else 401)
        assert whole.startswith(first)
        if world.read_to_its_end:
            assert first == whole
            assert again in ([], [first])
        elif again:
            assert again[0].startswith(first)
            assert changed or again == [whole]

        in_memory = library == "requests" and body.kind == "multipart"
        if ours.once_only and not in_memory:
            assert again == []
        elif not changed and (world.read_to_its_end or body.kind in ("BytesIO", "file", "text file")):
            assert again == [whole]
        if not changed and (again or world.read_to_its_end):
            assert positions(ours.files) == positions(plain.files)
