"""Where the processes of one machine, or of a fleet, share one token.

.. code-block:: python

    from thebase_auth.caches import FileTokenCache, RedisTokenCache

    TheBaseAuth(domain, client_id, client_secret, cache=FileTokenCache())
    TheBaseAuth(domain, client_id, client_secret, cache=RedisTokenCache(redis.Redis(...)))

Both keep the token in plain text, for the owner of the file or the users of the Redis database to
read: protect them like the token itself. The client secret is not in them, in no form that could
be turned back.
"""

# Here: the protocol of a cache, and two of them. Not here: what a record holds and under which key
# (_record), when a cache is asked, and what happens when it fails (_coordinator). A cache therefore may
# raise whatever it likes, and may take its time: it is called in a thread of its own.

from __future__ import annotations

import inspect
import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol, Self

from ._hidden import Hidden

__all__ = ["FileTokenCache", "RedisTokenCache", "TokenCache"]

_LARGEST_FILE: Final = 256 * 1024  # bytes; a record has about 300
_UNKNOWN_LIFETIME: Final = 3600.0  # seconds; what the vendor's page shows
_LONGEST_LIFETIME: Final = 30 * 24 * 3600.0  # seconds
_SHORTEST_LEASE: Final = 0.05  # seconds; Redis takes 0 for an error, and redis-py for no end at all
_PAUSES_BEFORE_REPLACING_AGAIN: Final = (0.01, 0.05, 0.25)  # seconds


class TokenCache(Protocol):
    """What ``TheBaseAuth(cache=...)`` takes: any object with these three methods.

    They are called when a token is missing or refused, never for a request that has a good token;
    from several threads at once, but never from the thread of an event loop. They may block, and may
    raise anything: a request then goes on without the cache.
    """

    def load(self, key: str) -> str | None:
        """Give the record that was stored last under *key*, or None.

        Args:
            key: 64 lower-case hexadecimal digits.
        """

    def store(self, key: str, record: str, lifetime: float | None) -> None:
        """Keep *record* under *key*, in the place of any before.

        Args:
            key: As in `load`.
            record: A line of ASCII text, a few hundred characters.
            lifetime: Seconds after which the record is of no use; None if that is not known.
        """

    def lock(self, key: str, lease: float) -> Callable[[], object] | None:
        """Try to get the right to fetch the next token, without waiting for it.

        It may be given back in another thread than it was taken in.

        Args:
            key: As in `load`.
            lease: Seconds after which the lock should end by itself, should this process die.

        Returns:
            What gives the lock back when it is called, or None if another has the lock.
        """


class FileTokenCache:
    """A file that the processes of one user on one machine share.

    The file is readable for its owner alone, replaced as a whole, and taken for absent when it is
    not what this class writes: too large, damaged, a link, somebody else's, or open to others. Beside it
    lie empty files for the locks, which the operating system releases when a process dies.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Name the file; nothing is opened before it is needed.

        Args:
            path: The file, ``~`` for the home directory allowed. Missing directories are made, for the
                owner alone. None for ``tokens.json`` in the user's cache directory for thebase_auth.

        Raises:
            ValueError: if *path* is empty.
            ImportError: if filelock is missing, or platformdirs where no path is given.
            RuntimeError: if *path* begins with ``~`` and there is no such home directory.
        """
        if path is not None and not os.fspath(path):
            raise ValueError("path is empty; leave it out for a file in the user's cache directory")
        try:
            import filelock  # noqa: F401 - to tell early

            if path is None:
                import platformdirs

                folder = platformdirs.user_cache_path("thebase_auth", appauthor=False)
                path = folder / "tokens.json"
        except ModuleNotFoundError as missing:
            if missing.name not in {"filelock", "platformdirs"}:
                raise
            raise ImportError(
                f"FileTokenCache needs {missing.name}: pip install 'thebase-auth[file]'",
                name=missing.name,
            ) from missing
        self._path = Path(path).expanduser().absolute()

    def __repr__(self) -> str:
        return f"FileTokenCache({str(self._path)!r})"

    def load(self, key: str) -> str | None:
        """Give the record that was stored last under *key*, or None; see `TokenCache.load`."""
        return self._records().get(key, (None, 0.0))[0]

    def store(self, key: str, record: str, lifetime: float | None) -> None:
        """Keep *record* under *key*; see `TokenCache.store`.

        Args:
            key: As in `TokenCache`.
            record: As in `TokenCache`.
            lifetime: Seconds, or None.
        """
        now = time.time()
        with self._file_lock("update", timeout=1.0):
            kept = {
                other: (text, until)
                for other, (text, until) in self._records().items()
                if until > now and other != key
            }
            kept[key] = (record, now + _bounded(lifetime))
            while len(content := json.dumps(kept).encode()) > _LARGEST_FILE:
                del kept[next(iter(kept))]  # the one stored first
            self._replace(content)

    def lock(self, key: str, lease: float) -> Callable[[], object] | None:  # noqa: ARG002
        """Try to get the right to fetch; see `TokenCache.lock`.

        Args:
            key: As in `TokenCache`.
            lease: Seconds; not needed, since the operating system releases the lock of a dead process.
        """
        import filelock

        lock = self._file_lock(key[:16], timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            return None
        release: Callable[[], object] = lock.release
        return release

    def _file_lock(self, name: str, *, timeout: float) -> Any:
        import filelock

        # One by one: mkdir(parents=True) gives its mode to the last alone.
        folders = [self._path.parent, *self._path.parent.parents]
        for folder in reversed([folder for folder in folders if not folder.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
        return filelock.FileLock(
            f"{self._path}.{name}.lock",
            timeout=timeout,
            mode=0o600,
            thread_local=False,  # released in another thread, perhaps
            poll_interval=0.005,
        )

    def _records(self) -> dict[str, tuple[str | None, float]]:
        """What the file holds: for each key a record, and until when (epoch seconds)."""
        try:
            content = json.loads(_read_own_file(self._path))
            return {
                str(key): (str(record), float(until)) for key, (record, until) in content.items()
            }
        except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            return {}

    def _replace(self, content: bytes) -> None:
        """Put *content* in the place of the file, as a whole; who calls has the lock."""
        # One name for all: what a process leaves behind that is killed here, the next one removes.
        temporary = self._path.with_name(f".{self._path.name}.new")
        with suppress(FileNotFoundError):
            temporary.unlink()
        try:
            with open(temporary, "xb", opener=_open_for_owner) as file:
                file.write(content)
            self._put_in_place(temporary)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def _put_in_place(self, temporary: Path) -> None:
        for pause in _PAUSES_BEFORE_REPLACING_AGAIN:
            try:
                temporary.replace(self._path)
                return
            except PermissionError:  # Windows, while another process reads the file
                time.sleep(pause)
        temporary.replace(self._path)


class RedisTokenCache:
    """A Redis or Valkey database that a fleet shares.

    It keeps one key for each client of TheBase, which expires with the token, and one for its lock.
    Made by `from_url`, it can be pickled, and so can an auth object and a session that have it.
    """

    def __init__(self, client: Any, *, prefix: str = "thebase_auth:") -> None:
        """Take the client; nothing is sent before it is needed.

        Args:
            client: A client of redis-py or valkey-py, not of their asyncio variants: its calls are
                made in threads, also for an AsyncClient. With timeouts of its own, in seconds
                (``socket_timeout=1``, ``socket_connect_timeout=1``), and without retries
                (``retry=None``), a dead server is found out sooner, and told by its cause.
            prefix: What the names of all keys begin with.

        Raises:
            TypeError: if *client* is no such client.
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
        self._url: Hidden | None = None

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "thebase_auth:") -> Self:
        """Make the client, too: by redis-py, with timeouts of a second and no retries.

        Args:
            url: ``redis://host:port/db``, ``rediss://`` for TLS, or ``unix://path``; with what else
                `redis.Redis.from_url` takes from a URL.
            prefix: What the names of all keys begin with.

        Raises:
            ValueError: if redis-py cannot read the URL.
            ImportError: if redis-py is missing.
        """
        try:
            import redis
        except ModuleNotFoundError as missing:
            if missing.name != "redis":
                raise
            raise ImportError(
                "RedisTokenCache.from_url needs redis: pip install 'thebase-auth[redis]'",
                name="redis",
            ) from missing
        kept = Hidden(url)  # a password may be in it
        del url
        try:
            client = redis.Redis.from_url(
                kept.reveal(), socket_timeout=1, socket_connect_timeout=1, retry=None
            )
        except ValueError:
            raise ValueError(
                "redis-py cannot read the URL, which is not shown here; it is of the form"
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
            raise TypeError(
                "a RedisTokenCache with a live client cannot be pickled or copied, because the client's"
                " connections cannot; make it by RedisTokenCache.from_url(url)"
            )
        return _from_url, (type(self), self._url.reveal(), self._prefix)

    def load(self, key: str) -> str | None:
        """Give the record that was stored last under *key*, or None; see `TokenCache.load`."""
        try:
            record = self._client.get(self._prefix + key)
            text = record.decode("ascii") if isinstance(record, bytes) else record
        except UnicodeDecodeError:
            return None
        except Exception as error:
            if "WRONGTYPE" in str(error):  # somebody else's, or a joke; `store` overwrites it
                return None
            raise
        return text if isinstance(text, str) else None

    def store(self, key: str, record: str, lifetime: float | None) -> None:
        """Keep *record* under *key*, and let it expire; see `TokenCache.store`.

        Args:
            key: As in `TokenCache`.
            record: As in `TokenCache`.
            lifetime: Seconds, or None.
        """
        milliseconds = max(int(_bounded(lifetime) * 1000), 1)
        self._client.set(self._prefix + key, record, px=milliseconds)

    def lock(self, key: str, lease: float) -> Callable[[], object] | None:
        """Try to get the right to fetch, with the client's own lock; see `TokenCache.lock`.

        Args:
            key: As in `TokenCache`.
            lease: Seconds after which the database itself ends the lock.
        """
        lock = self._client.lock(
            f"{self._prefix}{key}:lock",
            timeout=max(lease, _SHORTEST_LEASE),
            blocking=False,
            thread_local=False,  # released in another thread, perhaps
        )

        def release() -> None:
            # A LockError of either library is a ValueError: the lock has ended by itself before.
            with suppress(ValueError):
                lock.release()

        return release if lock.acquire() else None


def _from_url(cls: type[RedisTokenCache], url: str, prefix: str) -> RedisTokenCache:
    return cls.from_url(url, prefix=prefix)


def _bounded(lifetime: float | None) -> float:
    return _UNKNOWN_LIFETIME if lifetime is None else min(lifetime, _LONGEST_LIFETIME)


def _read_own_file(path: Path) -> bytes:
    """The content of a file that only its owner, who we are, can read or write.

    Raises:
        OSError: if there is none, or it is anything else.
    """
    # By an opener: of a directory, open() would leave a descriptor open that we had opened.
    with open(path, "rb", opener=_open_warily) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("no regular file")
        if os.name == "posix" and (status.st_uid != os.geteuid() or status.st_mode & 0o077):
            raise OSError("not ours alone")
        content: bytes = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise OSError("too large")
    return content


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _open_warily(path: str, flags: int) -> int:
    # A link is not followed. Without O_NONBLOCK a pipe in that place would be waited for.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
