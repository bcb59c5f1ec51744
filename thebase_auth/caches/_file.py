# A file that keeps the tokens of one user on one machine. It may raise and block; see _shared.

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_PAUSES_BEFORE_REPLACING_AGAIN: Final = (0.01, 0.05, 0.25)  # seconds
# Links are not followed. Without O_NONBLOCK, opening a pipe would block.
_SAFE_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class FileTokenCache:
    """A file that the processes of one user on one machine share.

    Only its owner can read the file. It is replaced as a whole, and counts as absent if it is not what this
    class writes: damaged, a link, somebody else's, or open to others. Beside it are empty files
    for the locks, which the operating system releases when a process dies.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Name the file. Nothing is opened before it is needed.

        Args:
            path: The file, ``~`` for the home directory allowed. Missing directories are made. None for
                ``tokens.json`` in the user's cache directory for thebase_auth.

        Raises:
            ValueError: if *path* is empty.
            ImportError: if filelock is missing, or platformdirs where no path is given.
            RuntimeError: if *path* begins with ``~`` and there is no such home directory.
        """
        if path is not None and not os.fspath(path):
            raise ValueError("path is empty; leave it out for a file in the user's cache directory")
        try:
            import filelock  # noqa: F401 - to say it early

            if path is None:
                import platformdirs

                path = platformdirs.user_cache_path("thebase_auth", appauthor=False) / "tokens.json"
        except ModuleNotFoundError as missing:
            raise ImportError(f"FileTokenCache needs {missing.name}: install the extra 'file'") from missing
        self._path = Path(path).expanduser().absolute()

    def __repr__(self) -> str:
        return f"FileTokenCache({str(self._path)!r})"

    def load(self, key: str) -> str | None:
        """Return the record that was stored last under *key*, or None; see `TokenCache.load`."""
        record, until = self._records().get(key, (None, 0.0))
        return record if until > time.time() else None

    def store(self, key: str, record: str, lifetime: float) -> None:
        """Keep *record* under *key*; see `TokenCache.store`.

        Args:
            key: As in `TokenCache`.
            record: As in `TokenCache`.
            lifetime: Seconds.
        """
        now = time.time()
        with self._file_lock("update").acquire(timeout=1.0, poll_interval=0.01):
            kept = {other: (text, until) for other, (text, until) in self._records().items() if until > now}
            kept[key] = (record, now + lifetime)
            self._replace(json.dumps(kept).encode())

    def lock(self, key: str, *, timeout: float) -> Callable[[], object] | None:
        """Wait for the lock; see `TokenCache.lock`. The operating system releases that of a dead process.

        Args:
            key: As in `TokenCache`.
            timeout: Seconds to wait.
        """
        import filelock

        lock = self._file_lock(key[:16])
        try:
            lock.acquire(timeout=timeout)
        except filelock.Timeout:
            return None
        release: Callable[[], object] = lock.release
        return release

    def _file_lock(self, name: str) -> Any:
        import filelock

        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return filelock.FileLock(f"{self._path}.{name}.lock", mode=0o600)

    def _records(self) -> dict[str, tuple[str | None, float]]:
        """Return the content of the file: for each key a record, and when it expires (epoch seconds)."""
        try:
            # With an opener: given a descriptor of a directory, open() would not close it.
            with open(self._path, "rb", opener=_open_for_owner) as file:
                content = json.load(file) if _is_private(os.fstat(file.fileno())) else {}
            return {str(key): (str(record), float(until)) for key, (record, until) in content.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            return {}

    def _replace(self, content: bytes) -> None:
        """Replace the file by one with *content*. The caller holds the lock."""
        # Always the same name: if a process is killed here, the next one removes what it left.
        temporary = self._path.with_name(f".{self._path.name}.new")
        with suppress(FileNotFoundError):
            temporary.unlink()
        try:
            with open(temporary, "xb", opener=_open_for_owner) as file:
                if not _is_private(os.fstat(file.fileno())):
                    raise PermissionError(f"the file system of {temporary.parent} cannot keep a file private")
                file.write(content)
            for pause in _PAUSES_BEFORE_REPLACING_AGAIN:
                with suppress(PermissionError):  # Windows, while another process reads the file
                    temporary.replace(self._path)
                    return
                time.sleep(pause)
            temporary.replace(self._path)
        finally:
            with suppress(OSError):
                temporary.unlink()


def _is_private(status: os.stat_result) -> bool:
    """Return whether it is a regular file that nobody else can read or write."""
    if os.name == "posix" and (status.st_uid != os.geteuid() or status.st_mode & 0o077):
        return False
    return stat.S_ISREG(status.st_mode)


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags | _SAFE_FLAGS, 0o600)
