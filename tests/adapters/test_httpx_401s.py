"""What may happen in httpx and httpx2 between a 401 and its replay, each at a moment of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import auth_for
from tests.support.world import DOMAIN, LIBRARIES, URL
from thebase_auth import PlainHTTPError, Token
from thebase_auth._core.backoff import Operation
from thebase_auth._httpx_io import as_library_error


def client_of(
    library: Any, auth: Any, while_read: Callable[[], None], headers: Any = ()
) -> tuple[Any, list[str]]:
    """A client whose first answer is a 401, and what its requests carried."""
    carried: list[str] = []

    class Body(library.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while_read()
            yield b"refused"

    def handler(request: Any) -> Any:
        for _ in request.stream:
            pass
        carried.append(request.headers["Authorization"])
        if len(carried) == 1:
            return library.Response(401, headers=list(headers), stream=Body())
        return library.Response(200)

    return library.Client(auth=auth, transport=library.MockTransport(handler)), carried


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_401_stands_if_its_operation_begins_a_pause_while_it_is_read(library: Any) -> None:
    auth = auth_for(DOMAIN)
    auth._core.shared.token = Token("refused")

    def strike() -> None:
        for _ in range(2):
            auth._core.shared.backoff.strike(Operation.of("GET", URL), time.monotonic())

    client, carried = client_of(library, auth, strike)
    assert client.get(URL).status_code == 401
    assert carried == ["Bearer refused"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_file_that_changes_while_another_caller_renews_leaves_the_401(library: Any, tmp_path: Path) -> None:
    auth = auth_for(DOMAIN)
    auth._core.shared.token = Token("refused")
    path = tmp_path / "file"
    path.write_bytes(b"content")

    def renew_and_change() -> None:
        auth._core.shared.token = Token("of another")
        path.write_bytes(b"CONTENT")
        os.utime(path, (1, 1))

    client, carried = client_of(library, auth, renew_and_change)
    with path.open("rb") as file:
        assert client.post(URL, content=file).status_code == 401
    assert carried == ["Bearer refused"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_body_that_a_redirect_has_put_in_the_place_of_another_is_not_sent_twice(library: Any) -> None:
    auth = auth_for(DOMAIN)
    auth._core.shared.token = Token("refused")
    flow = auth.sync_auth_flow(library.Request("POST", URL, content=b"first"))
    headers = next(flow).headers
    redirected = library.Request("POST", URL, content=iter([b"second"]), headers=headers)
    with pytest.raises(StopIteration):
        flow.send(library.Response(401, request=redirected))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("set_by_the_401", "sent"),
    [
        ("n=2; Expires=Fri, 01 Jan 2100 00:00:00 GMT; Path=/", "a=1; n=2"),
        ("n=; Expires=Fri, 01 Jan 1999 00:00:00 GMT; Path=/", "a=1"),
        ("n=2; Expires=soon; Path=/", "a=1; n=2"),
    ],
)
def test_a_cookie_that_the_401_sets_is_sent_while_it_lasts(
    library: Any, set_by_the_401: str, sent: str
) -> None:
    auth = auth_for(DOMAIN)
    auth._core.shared.token = Token("refused")
    cookies = []

    def renew() -> None:
        auth._core.shared.token = Token("of another")

    client, _ = client_of(library, auth, renew, [("Set-Cookie", set_by_the_401)])
    client.event_hooks = {"request": [lambda request: cookies.append(request.headers["Cookie"])]}
    assert client.get(URL, headers={"Cookie": "a=1; n=1"}).status_code == 200
    assert cookies == ["a=1; n=1", sent]


def test_an_error_for_a_request_of_another_library_is_of_none() -> None:
    error = as_library_error(PlainHTTPError("text", DOMAIN), object())
    assert type(error) is PlainHTTPError
