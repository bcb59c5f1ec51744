# A Redis or Valkey database that keeps the tokens of a fleet. It may raise and block; see _shared.

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, Self

from thebase_auth._core.credentials import Secret

_SHORTEST_LEASE: Final = 0.05  # seconds; to Redis 0 is an error, to redis-py no limit


class RedisTokenCache:
    """A Redis or Valkey database that a fleet shares.

    It has one key for each client id, which expires with the token, and one for its lock. If it was made by
    `from_url`, it can be pickled, and so can auth objects and sessions with it.
    """

    def __init__(self, client: Any, *, prefix: str = "thebase_auth:") -> None:
        """Take the client. Nothing is sent before it is needed.

        Args:
            client: A client of redis-py or valkey-py, not an asyncio one: it is called in threads,
                for an AsyncClient too. Give it timeouts in seconds (``socket_timeout=1``,
                ``socket_connect_timeout=1``) and no retries (``retry=None``), so that a dead server is
                noticed soon, and its error is logged.
            prefix: The prefix of all keys.

        Raises:
            TypeError: if *client* is anything else.
        """
        if isinstance(client, type) or not callable(getattr(client, "lock", None)):
            given = client if isinstance(client, type) else type(client)
            raise TypeError(f"client must be one of redis-py or valkey-py, not {given.__name__}")
        if inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
            raise TypeError(
                "client must not be an asyncio one: RedisTokenCache serves threads and any number of"
                " event loops at once, and blocks none of them; give it redis.Redis(...)"
            )
        self._client = client
        self._prefix = prefix
        self._url: Secret | None = None

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "thebase_auth:") -> Self:
        """Make the cache and its redis-py client, with timeouts of one second and without retries.

        Args:
            url: ``redis://host:port/db``, ``rediss://`` for TLS, or ``unix://path``, with any option
                that `redis.Redis.from_url` reads from a URL.
            prefix: The prefix of all keys.

        Raises:
            ValueError: if redis-py cannot parse the URL.
            ImportError: if redis-py is missing.
        """
        kept = Secret(url)  # a password may be in it
        del url
        try:
            from redis import Redis
        except ModuleNotFoundError as missing:
            raise ImportError("RedisTokenCache.from_url needs redis: install the extra 'redis'") from missing
        try:
            client = Redis.from_url(kept.reveal(), socket_timeout=1, socket_connect_timeout=1)
        except ValueError:
            raise ValueError(
                "redis-py cannot parse the URL (not shown: a password may be in it); it looks like"
                " redis://user:password@host:port/db, with / in a password written as %2F"
            ) from None
        cache = cls(client, prefix=prefix)
        cache._url = kept
        return cache

    def __repr__(self) -> str:
        pool = getattr(self._client, "connection_pool", None)
        settings = getattr(pool, "connection_kwargs", {})
        place = [str(settings[name]) for name in ("host", "port", "path", "db") if name in settings]
        where = " ".join([type(self._client).__name__, *place])
        return f"RedisTokenCache(<{where}>, prefix={self._prefix!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._url is None:
            raise TypeError("a live client cannot be pickled or copied; use RedisTokenCache.from_url(url)")
        return _from_url, (type(self), self._url, self._prefix)

    def load(self, key: str) -> str | None:
        """Return the record that was stored last under *key*, or None; see `TokenCache.load`."""
        record = self._client.get(self._prefix + key)
        return record.decode() if isinstance(record, bytes) else record

    def store(self, key: str, record: str, lifetime: float) -> None:
        """Keep *record* under *key*, and let it expire; see `TokenCache.store`.

        Args:
            key: As in `TokenCache`.
            record: As in `TokenCache`.
            lifetime: Seconds.
        """
        milliseconds = max(int(lifetime * 1000), 1)
        self._client.set(self._prefix + key, record, px=milliseconds)

    def lock(self, key: str, *, timeout: float) -> Callable[[], object] | None:
        """Wait for the lock, which is redis-py's own; see `TokenCache.lock`.

        Args:
            key: As in `TokenCache`.
            timeout: Seconds to wait. The lock expires after half of them, even if its process has died.
        """
        name = f"{self._prefix}{key}:lock"
        lease = max(timeout / 2, _SHORTEST_LEASE)
        lock = self._client.lock(name, timeout=lease, blocking_timeout=timeout)
        if not lock.acquire():
            return None
        held = self._client.get(name)  # to see below whether it is still ours

        def release() -> None:
            try:
                lock.release()
            except ValueError:  # a LockError: it has expired
                pass
            except Exception:
                # redis-py releases by a script, which an ACL may forbid.
                if self._client.get(name) == held:
                    self._client.delete(name)
                raise

        return release


def _from_url(cls: type[RedisTokenCache], url: Secret, prefix: str) -> RedisTokenCache:
    return cls.from_url(url.reveal(), prefix=prefix)
