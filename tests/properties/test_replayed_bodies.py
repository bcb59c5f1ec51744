"""A replay carries what the first sending carried, or there is none: any file or upload, each library.

The first sending, and where it leaves the user's files, are those of a call without us, and so is where a
replay leaves them. A body that is overwritten with as many bytes is beyond the promise.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

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
from tests.support.uploads import Unseekable

DOMAIN = "acme.thebase.co.il"
URL = f"https://{DOMAIN}/upload"
BOUNDARY = "0123456789abcdef"


class Part(NamedTuple):
    """How to make a file, as often as one like it is needed."""

    content: bytes
    offset: int
    is_seekable: bool

    def open(self) -> Any:
        file = io.BytesIO(self.content)
        file.seek(min(self.offset, len(self.content)))
        return file if self.is_seekable else Unseekable(self.content)


PARTS = st.builds(
    Part,
    st.builds(bytes.__mul__, st.binary(max_size=5), st.sampled_from([0, 1, 3, 100, 30_000])),
    st.sampled_from([0, 1, 7, 65_536]),
    st.sampled_from([True, True, True, False]),
)
KINDS = st.sampled_from(["content", "files", "files", "generator"])


async def async_generator(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def options_of(kind: str, files: list[Any], *, is_async: bool) -> dict[str, Any]:
    """Return the arguments of a call with this body."""
    if kind == "content":
        return {"content": files[0]}
    if kind == "generator":
        chunks = [file.read() for file in files]
        return {"content": async_generator(chunks) if is_async else (chunk for chunk in chunks)}
    parts = [(f"field {number}", ("x.bin", file)) for number, file in enumerate(files)]
    return {"files": parts, "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}}


def cut_short(file: Any) -> None:
    file.seek(0)
    file.truncate()


def lengthen(file: Any) -> None:
    file.seek(0, io.SEEK_END)
    file.write(b"x")


def close(file: Any) -> None:
    file.close()


class TheBase:
    """Keeps the bodies that it is sent, and may do something at a 401."""

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


def post_with_requests(thebase: TheBase, auth: Any, options: dict[str, Any]) -> int:
    def respond(request: requests.PreparedRequest) -> requests.Response:
        chunks: Any = ()
        if request.body is not None and request.headers.get("Content-Length") != "0":  # as urllib3 does
            chunks = body_to_chunks(request.body, request.method or "", 16_384).chunks or ()
        received = b"".join(chunk if isinstance(chunk, bytes) else chunk.encode() for chunk in chunks)
        status, body = thebase.respond(request.path_url, request, received)
        return response_to(request, body, status)

    options = {"data" if name == "content" else name: value for name, value in options.items()}
    with FakeAdapter(respond).session() as session:
        if auth is not no_auth:
            auth._session = session
        return session.post(URL, auth=auth, **options).status_code


def post_with(library: Any, run: Callable[..., Any] | None = None) -> Callable[..., int]:
    class Transport(library.BaseTransport, library.AsyncBaseTransport):
        def __init__(self, thebase: TheBase) -> None:
            self.thebase = thebase

        def handle_request(self, request: Any) -> Any:
            return self.respond(request, b"".join(request.stream))

        async def handle_async_request(self, request: Any) -> Any:
            return self.respond(request, b"".join([chunk async for chunk in request.stream]))

        def respond(self, request: Any, received: bytes) -> Any:
            status, body = self.thebase.respond(request.url.path, request, received)
            return library.Response(status, content=body)

    def post(thebase: TheBase, auth: Any, options: dict[str, Any]) -> int:
        with library.Client(auth=auth, transport=Transport(thebase)) as client:
            return int(client.post(URL, **options).status_code)

    async def post_async(thebase: TheBase, auth: Any, options: dict[str, Any]) -> int:
        async with library.AsyncClient(auth=auth, transport=Transport(thebase)) as client:
            return int((await client.post(URL, **options)).status_code)

    return post if run is None else lambda *arguments: run(lambda: post_async(*arguments))


POSTS: dict[str, tuple[Callable[..., int], bool]] = {
    "requests": (post_with_requests, False),
    "httpx": (post_with(httpx), False),
    "httpx2 on asyncio": (post_with(httpx2, run_asyncio), True),
    "httpx on trio": (post_with(httpx, trio.run), True),
}


@pytest.mark.parametrize("library", POSTS)
@given(
    KINDS,
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from([None, None, None, cut_short, lengthen, close]),
)
def test_replay_carries_what_the_first_sending_carried(
    library: str, kind: str, parts: list[Part], change: Callable[[Any], None] | None
) -> None:
    post, is_async = POSTS[library]
    plain_files, files = ([part.open() for part in parts] for _ in range(2))
    changed = next((file for file in files if isinstance(file, io.BytesIO)), None) if change else None
    plain, thebase = TheBase(), TheBase(lambda: change(changed) if change and changed else None)
    auth = auth_for(DOMAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(urllib3.filepost, "choose_boundary", lambda: BOUNDARY)
        try:
            post(plain, no_auth, options_of(kind, plain_files, is_async=is_async))
        except Exception:
            return  # the library takes no such body
        assert post(thebase, auth, {}) == 200
        thebase.live = "revoked"
        status = post(thebase, auth, options_of(kind, files, is_async=is_async))

    (whole,), (_, first, *again) = plain.bodies, thebase.bodies
    assert status == (200 if again else 401)
    assert first == whole
    assert again in ([], [whole])
    is_in_memory = library == "requests" and kind == "files"  # since the request was prepared
    is_one_shot = kind == "generator" or not all(
        part.is_seekable for part in parts[: None if kind == "files" else 1]
    )
    if is_one_shot and not is_in_memory:
        assert again == []
    elif whole and changed is None:
        assert again == [whole]
    if changed is None:
        seekable = [number for number, part in enumerate(parts) if part.is_seekable]
        assert [files[n].tell() for n in seekable] == [plain_files[n].tell() for n in seekable]
