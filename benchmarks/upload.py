"""What it costs to send a file with a good token, and how often the file is read when a token is refused.

A file of 8 MiB, on disk and in the system's cache, is read by an adapter or transport as the library itself
reads it, and goes nowhere: over a network all of this would be hidden by the sending.
"""

from __future__ import annotations

import io
import tempfile
from collections import deque
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import requests
from requests.adapters import BaseAdapter

from . import _peers
from ._in_memory import Api
from ._timing import Batch, Contestant, Effort, contest, table

_SIZE = 8 * 2**20
_BLOCK = 16 * 1024  # bytes, as http.client reads
_TARGET = 1.05


def run(effort: Effort, picture: Path | None) -> list[str]:
    """Measure and print, some 20 seconds, or 5; what was read more often than it was sent."""
    rounds = effort.pick(101, 21, 2)
    print(f"\n== upload: a file of {_SIZE // 2**20} MiB")
    rows: list[tuple[str, ...]] = []
    broken: list[str] = []
    with tempfile.TemporaryFile() as file:
        file.write(bytes(_SIZE))
        file.flush()
        for name, peers in {"requests": _REQUESTS, "httpx": _HTTPX, "httpx2": _HTTPX}.items():
            try:
                library = import_module(name)
            except ModuleNotFoundError:
                print(f"\n{name}: not installed")
                continue
            contest(
                f"{name}, token at hand",
                [
                    Contestant(who, _uploading(make(library, Api()), file), target)
                    for who, (make, target) in peers.items()
                ],
                rounds=rounds,
                calls=1,
            )
            read = _read_at_a_refusal(peers["thebase_auth"][0], library, file)
            rows.append((name, f"{read / _SIZE:.2f}", "2"))
            if read != 2 * _SIZE:
                broken.append(f"{name}: {read} bytes were read for two sendings of {_SIZE}")
    table("a token that is refused", ("", "times read", "times sent"), rows)
    return broken


class _Counting(io.FileIO):
    """A file that counts what is read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(-1 if size is None else size)
        self.count += len(piece)
        return piece


_Upload = tuple[Api, Callable[[Any], int]]


def _uploading(upload: _Upload, file: Any) -> Batch:
    _, send = upload

    def batch(calls: int) -> float:
        started = perf_counter()
        for _ in range(calls):
            file.seek(0)
            assert send(file) == 200
        return perf_counter() - started

    batch(1)  # fetches the token
    return batch


def _read_at_a_refusal(make: Callable[..., _Upload], library: ModuleType, file: Any) -> int:
    api, send = make(library, Api())
    api.expire()
    file.seek(0)
    send(file)
    api.expire()
    file.seek(0)
    counting = _Counting(file.fileno(), closefd=False)
    assert send(counting) == 200
    return counting.count


class _Adapter(BaseAdapter):
    """Reads the body, and answers."""

    def __init__(self, api: Api, *, all_good: bool) -> None:
        super().__init__()
        self._api = api
        self._all_good = all_good

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        is_token = (request.url or "").endswith("/token")
        body: Any = request.body
        if hasattr(body, "read"):
            while body.read(_BLOCK):
                pass
        elif not isinstance(body, (str, bytes)):
            deque(body or (), maxlen=0)
        status, content = self._api.answer(is_token, request.headers.get("Authorization", ""))
        response = requests.Response()
        response.status_code = 200 if self._all_good else status
        response.url = request.url or ""
        response.request = request
        response.raw = io.BytesIO(content)
        response.connection = self  # type: ignore[assignment]
        return response

    def close(self) -> None:
        pass


def _by_requests(peer: _peers.RequestsPeer, all_good: bool, _: ModuleType, api: Api) -> _Upload:
    session, _signer = peer(api.server, _Adapter(api, all_good=all_good))
    return api, lambda file: session.post(api.url, data=file).status_code


def _by_httpx(peer: _peers.HttpxPeer, all_good: bool, library: ModuleType, api: Api) -> _Upload:
    class Transport(library.BaseTransport):  # type: ignore[name-defined]
        def handle_request(self, request: Any) -> Any:
            for _ in request.stream:
                pass
            is_token = request.url.path.endswith("/token")
            status, content = api.answer(is_token, request.headers.get("Authorization", ""))
            return library.Response(200 if all_good else status, content=content)

    client, _auth = peer(library, api.server, Transport(), False)
    return api, lambda file: client.post(api.url, content=file).status_code


_REQUESTS: dict[str, tuple[Callable[..., _Upload], float | None]] = {
    "constant header": (partial(_by_requests, _peers.constant_header, True), None),
    "thebase_auth": (partial(_by_requests, _peers.thebase_auth, False), _TARGET),
}
_HTTPX: dict[str, tuple[Callable[..., _Upload], float | None]] = {
    "one-header Auth": (partial(_by_httpx, _peers.one_header, True), None),
    "thebase_auth": (partial(_by_httpx, _peers.thebase_auth_httpx, False), _TARGET),
}
