"""Adapters of requests that need no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import BaseAdapter


class FakeAdapter(BaseAdapter):
    """Responds as *respond* does, and keeps the settings of each sending by path."""

    def __init__(self, respond: Callable[[requests.PreparedRequest], requests.Response]) -> None:
        super().__init__()
        self.respond = respond
        self.sent: dict[str, dict[str, Any]] = {}

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:  # type: ignore[override]
        self.sent[request.path_url] = settings
        response = self.respond(request)
        response.connection = self  # type: ignore[assignment]
        return response

    def close(self) -> None:
        pass

    def session(self) -> requests.Session:
        """A session that uses this adapter for https."""
        session = requests.Session()
        session.mount("https://", self)
        return session


def response_to(
    request: requests.PreparedRequest, content: bytes = b"", status: int = 200
) -> requests.Response:
    """A response without a network below it."""
    response = requests.Response()
    response.status_code = status
    response.request, response.url = request, request.url or ""
    response._content = content
    return response
