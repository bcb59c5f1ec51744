# How one process shares its token with others, through a cache.
#
# A cache may block for any length of time. So each renewal has one background thread, which does all that there is
# to do at the cache: look; if there is nothing, lock and look again; wait for the token request of this process;
# store; release. The leader of the flight waits for it, but not for long, and then goes on without the cache.

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Final

from thebase_auth._core.credentials import Credentials
from thebase_auth._core.flight import Event, Flight
from thebase_auth._core.token import Token
from thebase_auth._core.warnings import logger
from thebase_auth._waiting import wait_blocking

from ._protocol import TokenCache
from ._record import RECORD_BEGINS, RecordFormat, lifetime


class SharedCache:
    """The cache of one auth object, and whether it works."""

    def __init__(self, cache: TokenCache, credentials: Credentials) -> None:
        self.cache: Final = cache
        self._credentials = credentials
        self._hanging: CacheWork | None = None
        self._has_warned = False

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SharedCache, self.cache, self._credentials), ()

    @cached_property
    def record_format(self) -> RecordFormat:
        """Key and form of the record. Made in a thread when first needed, because it takes about 30 ms."""
        return RecordFormat(self._credentials)

    def start(
        self, flight: Flight, seconds: float, is_known: Callable[[Token], bool], *, may_lock: bool
    ) -> CacheWork | None:
        """Start the work for *flight*.

        Args:
            flight: The flight.
            seconds: How long its leader waits for the work.
            is_known: Whether a token has been used before, and so is of no use now.
            may_lock: Whether a token request follows if there is nothing in the cache.

        Returns:
            The work; None if earlier work still hangs in a call of the cache, or no thread can be started.
        """
        if self._hanging is not None and self._hanging.is_running():
            return None
        self._hanging = None
        try:
            return CacheWork(self, flight, seconds, is_known, may_lock=may_lock)
        except RuntimeError as error:  # no more threads, or the interpreter is shutting down
            self.warn(str(error))
            return None

    def record_hanging(self, work: CacheWork, trouble: str) -> None:
        """Record that a call of the cache did not return in time."""
        self._hanging = work
        self.warn(trouble)

    def record_working(self) -> None:
        """Record that the cache works: its next failure is logged as a warning again."""
        if self._has_warned:
            logger.info("the token cache %r works again", self.cache)
        self._has_warned = False

    def warn(self, trouble: str) -> None:
        """Warn that the cache has failed: once, until it works again."""
        if self._has_warned:
            logger.debug("the token cache %r failed: %s", self.cache, trouble)
            return
        self._has_warned = True
        logger.warning(
            "the token cache %r failed (%s). Requests to %s go on without it: this process fetches its own"
            " access tokens. This warning is not repeated until the cache works again.",
            self.cache,
            trouble,
            self._credentials.domain,
        )

    def describe(self, failure: BaseException, token: Token | None) -> str:
        """Return what may be logged of an exception of the cache."""
        try:
            message = str(failure)
        except Exception:  # noqa: BLE001 - any class may come here
            message = "no message"
        message = self._credentials.redact(RECORD_BEGINS.split(message)[0])  # a driver may quote the record
        if token is not None:
            message = message.replace(token.access_token, "[hidden]")
        return f"{type(failure).__name__}: {message[:300]}"


class CacheWork:
    """The work at the cache for one flight, in a thread.

    Attributes:
        looked: Done when it has looked into the cache, and has the lock if there was nothing.
        finished: Done when everything is done.
        found: The token that another process has stored, or None.
    """

    def __init__(
        self,
        shared: SharedCache,
        flight: Flight,
        seconds: float,
        is_known: Callable[[Token], bool],
        *,
        may_lock: bool,
    ) -> None:
        """Start the thread.

        Raises:
            RuntimeError: if it cannot be started.
        """
        self.looked = Event()
        self.finished = Event()
        self.found: Token | None = None
        self._shared = shared
        self._flight = flight
        self._deadline = time.monotonic() + seconds
        self._seconds = seconds
        self._is_known = is_known
        self._may_lock = may_lock
        self._calling = ""  # the method of the cache that is running
        self._thread = threading.Thread(target=self._run, daemon=True, name="thebase_auth-cache")
        if sys.is_finalizing():  # before Python 3.12, start() would hang
            raise RuntimeError("the interpreter is shutting down")
        self._thread.start()

    def is_running(self) -> bool:
        """Return whether the thread has not ended; a forked child does not have it."""
        return self._thread.is_alive() and not self.finished.done

    def give_up(self, seconds: float) -> None:
        """Record that the leader has waited so many seconds, and goes on without the cache."""
        calling = self._calling
        if calling:
            self._shared.record_hanging(self, f"{calling}() did not return within {seconds:g} seconds")

    # What follows runs in the thread.

    def _run(self) -> None:
        release: Any = None
        try:
            key = self._shared.record_format.key
            self._look(key)
            if self.found is None and self._may_lock and not self._flight.done:
                release = self._lock(key)
                if release is not None:
                    self._look(key)  # it may have been stored just before the lock was free
            self.looked.finish()
            if self.found is None and self._may_lock:
                self._store(key)
        except BaseException as error:  # noqa: BLE001 - whatever a cache raises
            self._shared.warn(self._shared.describe(error, self._flight.token))
        finally:
            self._release(release)
            self.looked.finish()
            self.finished.finish()

    def _look(self, key: str) -> None:
        token = self._shared.record_format.read(self._call("load", key))
        if token is not None and not self._is_known(token):
            self.found = token
            self._shared.record_working()

    def _lock(self, key: str) -> Any:
        seconds = max(self._deadline - time.monotonic(), 0.0)
        release = self._call("lock", key, timeout=seconds)
        if release is None or release is False:  # some caches return `acquired and release`
            self._shared.warn(f"another process has held its lock for {seconds:.1f} seconds")
            return None
        return release

    def _store(self, key: str) -> None:
        wait_blocking(self._flight, 2 * self._seconds)
        token = self._flight.token
        if token is not None:
            self._call("store", key, self._shared.record_format.write(token), lifetime(token))
            self._shared.record_working()

    def _release(self, release: Any) -> None:
        if release is None:
            return
        try:
            self._calling = "release"
            release()
        except BaseException as error:  # noqa: BLE001 - whatever a cache raises
            trouble = self._shared.describe(error, self._flight.token)
            self._shared.warn(f"its lock was not released: {trouble}")

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        self._calling = method
        try:
            return getattr(self._shared.cache, method)(*args, **options)
        finally:
            self._calling = ""
