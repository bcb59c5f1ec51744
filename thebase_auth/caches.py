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
# (_record), when a cache is asked, and what happens when it fails (_sharing). A cache therefore may
# raise whatever it likes, and may take its time: it is called in a thread of its own.

from __future__ import annotations

import inspect
import json
import os
import pickle
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

__all__ = ["FileTokenCache", "RedisTokenCache", "TokenCache"]

_LARGEST_FILE: Final = 256 * 1024  # bytes; a record has about 300
_UNKNOWN_LIFETIME: Final = 3600.0  # seconds; what the vendor's page shows
_LONGEST_LIFETIME: Final = 30 * 24 * 3600.0  # seconds
_SHORTEST_LEASE: Final = 0.05  # seconds; Redis takes 0 for an error, and redis-py for no end at all
_CALLS_AT_ONCE: Final = 4
_NOBODY_ENDS: Final = 1.0  # seconds, after which those who use a cache are taken to hang
# Of the objects among a client's settings, those without which another could not stand in for it.
_OBJECTS_NEEDED: Final = {
    "credential_provider",
    "redis_connect_func",
    "retry",
    "valkey_connect_func",
}
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

        It is taken and given back in different threads.

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
        self._turns = _Turns()

    def __repr__(self) -> str:
        return f"FileTokenCache({str(self._path)!r})"

    def load(self, key: str) -> str | None:
        """Give the record that was stored last under *key*, or None; see `TokenCache.load`."""
        with self._turns.one():
            record: str | None = self._records().get(key, (None, 0.0))[0]
        return record

    def store(self, key: str, record: str, lifetime: float | None) -> None:
        """Keep *record* under *key*; see `TokenCache.store`.

        Args:
            key: As in `TokenCache`.
            record: As in `TokenCache`.
            lifetime: Seconds, or None.
        """
        now = time.time()
        with self._turns.one(), self._file_lock("update", timeout=1.0):
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
            with self._turns.one():
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
            thread_local=False,  # released in another thread
            poll_interval=0.005,
        )

    def _records(self) -> dict[str, tuple[str, float]]:
        """What the file holds: for each key a record, and until when (epoch seconds)."""
        try:
            content = json.loads(_read_own_file(self._path))
            return {
                str(key): (str(record), float(until)) for key, (record, until) in content.items()
            }
        except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            return {}

    def _replace(self, content: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(  # mode 0600
            dir=self._path.parent, prefix=f".{self._path.name}.", suffix=".tmp"
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            self._put_in_place(Path(temporary))
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
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
        self._turns = _Turns()

    def __repr__(self) -> str:
        pool = getattr(self._client, "connection_pool", None)
        settings = getattr(pool, "connection_kwargs", {})
        place = [str(settings[name]) for name in ("host", "port", "path", "db") if name in settings]
        where = " ".join([type(self._client).__name__, *place])
        return f"RedisTokenCache(<{where}>, prefix={self._prefix!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A client has sockets and locks. What it was made from can go to another process.
        return {"_prefix": self._prefix, "_client": _recipe(self._client)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._prefix = state["_prefix"]
        self._client = _client_from(state["_client"])
        self._turns = _Turns()

    def load(self, key: str) -> str | None:
        """Give the record that was stored last under *key*, or None; see `TokenCache.load`."""
        with self._turns.one():
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
        with self._turns.one():
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
            thread_local=False,  # released in another thread
        )

        def release() -> None:
            # A LockError of either library is a ValueError: the lock has ended by itself before.
            with self._turns.one(), suppress(ValueError):
                lock.release()

        with self._turns.one():
            return release if lock.acquire() else None


class _Turns:
    """Lets a few threads at a time use a cache: many slow each other down, and a pool may be small.

    Who waits while nobody comes to an end goes on all the same: the others may hang.
    """

    def __init__(self) -> None:
        self._renew()

    def __reduce__(self) -> tuple[type[_Turns], tuple[()]]:
        return _Turns, ()  # a copy of the cache, perhaps in another process, has its own

    def _renew(self) -> None:
        self._free = threading.Semaphore(_CALLS_AT_ONCE)
        self._ended_at = 0.0
        self._process = os.getpid()  # last: it tells other threads that the semaphore is good

    @contextmanager
    def one(self) -> Iterator[None]:
        if self._process != os.getpid():  # forked; who had a turn is not in this process
            self._renew()
        free = self._free
        while not (mine := free.acquire(timeout=_NOBODY_ENDS)):
            if time.monotonic() - self._ended_at >= _NOBODY_ENDS:
                break
        try:
            yield
        finally:
            self._ended_at = time.monotonic()
            if mine:
                free.release()


def _recipe(client: Any) -> tuple[str, Any]:
    """The name of the client's class, and what one like it can be made from; None if nothing can."""
    if isinstance(client, _Unpicklable):
        return client.kind, None
    pool = getattr(client, "connection_pool", None)
    settings = {
        name: value
        for name, value in getattr(pool, "connection_kwargs", {}).items()
        if value is None or isinstance(value, (str, bytes, int, float)) or name in _OBJECTS_NEEDED
    }
    for name in ("max_connections", "timeout"):
        if hasattr(pool, name):
            settings[name] = getattr(pool, name)
    parts = type(client), type(pool), getattr(pool, "connection_class", None), settings
    try:
        pickle.dumps(parts)
    except Exception:  # noqa: BLE001 - each class that cannot be pickled has an error of its own
        return type(client).__name__, None
    return type(client).__name__, parts


def _client_from(recipe: tuple[str, Any]) -> Any:
    name, parts = recipe
    try:
        kind, pool_kind, connection_class, settings = parts
        return kind(connection_pool=pool_kind(connection_class=connection_class, **settings))
    except Exception:  # noqa: BLE001 - whatever it is: a client of a kind that we do not know
        return _Unpicklable(name)


class _Unpicklable:
    """In the place of a client that could not come along; using it says so."""

    connection_pool = None

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(
            f"a client of the class {self.kind} cannot be pickled; make the RedisTokenCache anew in"
            " this process"
        )


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


def _open_warily(path: str, flags: int) -> int:
    # A link is not followed. Without O_NONBLOCK a pipe in that place would be waited for.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
