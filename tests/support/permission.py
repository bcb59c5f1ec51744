"""An API that responds with 401 where the client lacks permission."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.clients import Client, auth_for
from tests.support.servers import Api, Received, Response, Server, api_server


class ApiWithoutPermission(Api):
    """An API that rejects every token where a path begins with one of ``forbidden``."""

    def __init__(self, *forbidden: str) -> None:
        super().__init__()
        self.forbidden = forbidden

    def __call__(self, request: Received) -> Response:
        if self.forbidden and request.path.startswith(self.forbidden):
            return 401, {}, b"no permission"
        return super().__call__(request)


@contextmanager
def api_without_permission(
    client: Client, *forbidden: str
) -> Iterator[tuple[Server, ApiWithoutPermission, Any]]:
    """Run such an API, and make an auth object that has a token."""
    with api_server(ApiWithoutPermission(*forbidden)) as (server, api):
        auth = auth_for(server.url)
        assert client.get(auth, server.url + "/warm-up").status == 200
        yield server, api, auth
