# The sandbox as an adapter of requests.
#
# Here: how a request gets from a requests session into the sandbox without a port, and the answer
# back. Not here: the same for everything else (_mounts).

from __future__ import annotations

import io
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from thebase_auth._waiting import blocking

from ._messages import Request
from ._mounts import DROPPED, Exchange, reason


class SandboxAdapter(HTTPAdapter):
    """Takes to the sandbox what a requests session would send; to be mounted on the session."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer a request. Timeouts, proxies and TLS settings have no meaning here.

        Raises:
            requests.ConnectionError: the sandbox was asked to drop the connection.
        """
        answer = blocking(self._exchange(_read(request)))
        if answer is None:
            raise requests.ConnectionError(DROPPED, request=request)
        raw = urllib3.HTTPResponse(
            io.BytesIO(answer.body),
            urllib3.HTTPHeaderDict(answer.headers),
            answer.status,
            reason=reason(answer.status),
            preload_content=False,
            request_method=request.method,
        )
        return self.build_response(request, raw)


def _read(request: requests.PreparedRequest) -> Request:
    url = urlsplit(request.url or "")
    return Request(
        method=request.method or "",
        path=unquote(str(url.path)),
        query=str(url.query),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=_bytes(request.body),
        root=f"{url.scheme}://{url.netloc}",
    )


def _bytes(body: Any) -> bytes:
    """A body of any kind, read as a connection would read it."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes):
        return body
    content = body.read() if hasattr(body, "read") else b"".join(map(_bytes, body))
    return _bytes(content)
