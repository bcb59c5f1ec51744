# How one process shares its token with others, through a cache.
#
# A cache may block for any length of time. So each renewal has one background thread, which does all that
# there is to do: look; if there is nothing, lock and look again; wait for the token request of this
# process; store; release. The leader of the flight waits for it, but not for long, and then goes on
# without the cache.

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from thebase_auth._core.credentials import Credentials
from thebase_auth._core.errors import describe
from thebase_auth._core.flight import Event, Flight
from thebase_auth._core.token import Token
from thebase_auth._core.warnings import logger
from thebase_auth._waiting import wait_blocking

from ._protocol import TokenCache
from ._record import RECORD_BEGINS, RecordFormat, lifetime


class CacheWork:
    """The work at a cache for one flight.

    Attributes:
        flight: The flight.
        seconds: How long its leader waits for the work.
        is_known: Whether a token has been used before, and so is of no use now.
        may_lock: Whether a token request follows if there is nothing in the cache.
        looked: Done when it has looked into the cache, and has the lock if there was nothing.
        finished: Done when everything is done.
        found: The token that another process has stored, or None.
        is_given_up: Whether the leader has stopped waiting for it.
        calling: The method of the cache that is running; empty between two calls.
        trouble: What has failed; empty if nothing has.
        thread: The thread that does it.
    """

    def __init__(
        self, flight: Flight, seconds: float, is_known: Callable[[Token], bool], *, may_lock: bool
    ) -> None:
        self.flight: Final = flight
        self.seconds: Final = seconds
        self.is_known: Final = is_known
        self.may_lock: Final = may_lock
        self.looked = Event()
        self.finished = Event()
        self.found: Token | None = None
        self.is_given_up = False
        self.calling = ""
        self.trouble = ""
        self.thread: threading.Thread | None = None

    def is_hanging(self) -> bool:
        """Return whether a call of the cache still runs, and its leader has gone.

        To wait in lock() is not to hang, unless the leader has given up.
        """
        has_no_use = self.flight.done and self.flight.token is None and self.calling != "lock"
        is_alive = self.thread is not None and self.thread.is_alive()  # not in a forked child
        return is_alive and bool(self.calling) and (self.is_given_up or has_no_use)


class SharedCache:
    """The cache of one auth object, and whether it works."""

    def __init__(self, cache: TokenCache, credentials: Credentials) -> None:
        self.cache: Final = cache
        self._credentials = credentials
        self._last: CacheWork | None = None
        self._has_warned = False

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SharedCache, self.cache, self._credentials), ()

    @property
    def record_format(self) -> RecordFormat:
        """Key and form of the record. Ask for it in a thread: the first time takes about 30 ms."""
        return RecordFormat(self._credentials)

    def start(
        self, flight: Flight, seconds: float, is_known: Callable[[Token], bool], *, may_lock: bool
    ) -> CacheWork | None:
        """Start the work for *flight*; the arguments are the attributes of `CacheWork`.

        Returns:
            The work; None if earlier work still hangs in a call of the cache, or no thread can be started.
        """
        if self._last is not None and self._last.is_hanging():
            return None
        work = self._last = CacheWork(flight, seconds, is_known, may_lock=may_lock)
        work.thread = threading.Thread(target=self._run, args=(work,), daemon=True, name="thebase_auth-cache")
        try:
            if sys.is_finalizing():
                return None  # before Python 3.12, start() would hang
            work.thread.start()
        except RuntimeError as error:
            self._report(str(error))  # too many threads
            return None
        return work

    def give_up(self, work: CacheWork) -> None:
        """Record that the leader goes on without *work*, for which it has waited."""
        work.is_given_up = True
        if work.calling:
            work.trouble = f"{work.calling}() took more than {work.seconds:.2g} seconds"
            self._report(work.trouble)

    # What follows runs in the thread.

    def _run(self, work: CacheWork) -> None:
        release: Any = None
        try:
            key = self.record_format.key
            self._look(work, key)
            if work.found is None and work.may_lock and not work.flight.done:
                release = self._lock(work, key)
                self._look(work, key)  # it may have been stored just before the lock was free
            work.looked.finish()
            if work.found is None and work.may_lock:
                self._store(work, key)
        except BaseException as error:  # noqa: BLE001 - whatever a cache raises
            work.trouble = self._describe(error, work.flight.token)
        finally:
            try:
                self._release(work, release)
                self._report(work.trouble)
            finally:
                work.looked.finish()
                work.finished.finish()

    def _look(self, work: CacheWork, key: str) -> None:
        token = self.record_format.read(self._call(work, "load", self.cache.load, key))
        if token is not None and not work.is_known(token):
            work.found = token

    def _lock(self, work: CacheWork, key: str) -> Any:
        """Return what releases the lock; None if the token must be fetched without it."""
        try:
            release = self._call(work, "lock", self.cache.lock, key, timeout=work.seconds)
        except Exception as error:  # noqa: BLE001 - whatever a cache raises
            work.trouble = f"it cannot be locked: {self._describe(error, None)}"
            return None
        if callable(release):
            return release
        work.trouble = f"another process has held its lock for {work.seconds:.2g} seconds"
        return None

    def _store(self, work: CacheWork, key: str) -> None:
        """Wait for the token request, and store the token."""
        wait_blocking(work.flight, 2 * work.seconds)
        token = work.flight.token
        if token is not None:
            record = self.record_format.write(token)
            self._call(work, "store", self.cache.store, key, record, lifetime(token))

    def _release(self, work: CacheWork, release: Any) -> None:
        try:
            if release is not None:
                self._call(work, "release", release)
        except BaseException as error:  # noqa: BLE001 - whatever a cache raises
            work.trouble = f"releasing its lock failed: {self._describe(error, work.flight.token)}"

    def _call(
        self, work: CacheWork, name: str, method: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        work.calling = name
        try:
            return method(*args, **options)
        finally:
            work.calling = ""

    def _report(self, trouble: str) -> None:
        """Warn once for each outage of the cache, and say when it works again."""
        if not trouble:
            if self._has_warned:
                logger.info("the token cache %r works again", self.cache)
            self._has_warned = False
        elif self._has_warned:
            logger.debug("the token cache %r failed: %s", self.cache, trouble)
        else:
            self._has_warned = True
            logger.warning(
                "the token cache %r failed (%s). Requests to %s go on without it: this process fetches its"
                " own access tokens. This warning is not repeated until the cache works again.",
                self.cache,
                trouble,
                self._credentials.domain,
            )

    def _describe(self, failure: BaseException, token: Token | None) -> str:
        """Return what may be logged of an exception of the cache."""
        quoted = RECORD_BEGINS.split(describe(failure))[0]  # a driver may quote the record
        text = self._credentials.redact(quoted)
        if token is not None:
            text = text.replace(token.access_token, "[hidden]")
        return text[:300]
