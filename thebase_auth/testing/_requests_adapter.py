# The sandbox as a transport adapter for requests.
#
# Here: reading a request from a session, and making the answer a response of requests. Not here: the same for
# other libraries (_mounts), and what happens in between (_service).

from __future__ import annotations

import io
from http.client import HTTPMessage, responses
from types import SimpleNamespace
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

try:
    import requests
except ModuleNotFoundError as _missing:
    if _missing.name != "requests":
        raise
    raise ImportError(
        "requests_adapter() needs requests: pip install 'thebase-auth[requests]'", name="requests"
    ) from _missing

import urllib3
from requests.adapters import HTTPAdapter

from thebase_auth._waiting import run_blocking

from ._messages import Request
from ._mounts import DROPPED, Exchange


class SandboxAdapter(HTTPAdapter):
    """Sends the requests of a session to the sandbox; to be mounted on the session."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def __reduce__(self) -> NoReturn:
        raise TypeError("the adapter of a sandbox cannot be pickled: its sandbox lives in this process")

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer a request. Timeouts, proxies and TLS settings have no effect.

        Raises:
            requests.ConnectionError: if the sandbox was asked to drop the connection.
        """
        answer = run_blocking(self._exchange(_read(request)))
        if answer is None:
            raise requests.ConnectionError(DROPPED, request=request)
        headers: Any = answer.headers  # urllib3 takes pairs as well as a mapping
        raw = urllib3.HTTPResponse(
            io.BytesIO(answer.body),
            headers,
            answer.status,
            reason=responses.get(answer.status, "Unknown"),
            preload_content=False,
            original_response=_original_response(answer.headers),
            request_method=request.method,
        )
        return self.build_response(request, raw)


def _original_response(headers: tuple[tuple[str, str], ...]) -> Any:
    """Stands in for the response of http.client, in which requests looks for cookies."""
    message = HTTPMessage()
    for name, value in headers:
        message[name] = value
    return SimpleNamespace(msg=message, isclosed=lambda: True, close=lambda: None)


def _read(request: requests.PreparedRequest) -> Request:
    url = urlsplit(request.url or "")
    return Request(
        method=request.method or "",
        path=unquote(str(url.path)),
        query=str(url.query),
        headers={_text(name).lower(): _text(value) for name, value in request.headers.items()},
        body=_bytes(request.body),
        root=f"{url.scheme}://{url.netloc}",
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _bytes(body: Any) -> bytes:
    """A body of any kind, as it would be sent."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    content = body.read() if hasattr(body, "read") else b"".join(map(_bytes, body))
    return _bytes(content)
