# How one process shares its token with others, through a cache.
#
# A cache may block for any length of time. So each flight has one background thread, which does all that
# there is to do: look; if there is nothing, lock and look again; wait until the flight is done; store its
# token, if it has one; release. The leader of the flight waits for it, but not for long, and then goes on
# without the cache.

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final

from thebase_auth._core.credentials import Credentials
from thebase_auth._core.errors import describe
from thebase_auth._core.flight import Event, Flight, Wait, wait_for
from thebase_auth._core.token import Token
from thebase_auth._core.warnings import logger
from thebase_auth._waiting import wait_blocking

from ._protocol import TokenCache
from ._record import RECORD_BEGINS, RecordFormat, lifetime


class SharedCache:
    """The cache of one auth object, and whether it works.

    Attributes:
        cache: The user's object.
        credentials: Whose tokens it keeps.
        last: The work that was started last; None once it has ended.
    """

    def __init__(self, cache: TokenCache, credentials: Credentials) -> None:
        self.cache: Final = cache
        self.credentials: Final = credentials
        self.last: CacheWork | None = None
        self._has_warned = False

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SharedCache, self.cache, self.credentials), ()

    def start(
        self, flight: Flight, is_known: Callable[[Token], bool], *, may_lock: bool
    ) -> Generator[Wait, Any, CacheWork | None]:
        """Wait until earlier work has ended, and start the work for *flight*.

        Args:
            flight: The flight. Its leader waits for a look into the cache at most half of its time.
            is_known: Whether a token has been used before, and so is of no use now.
            may_lock: Whether a token request follows if there is nothing in the cache.

        Returns:
            The work; None if earlier work hangs in a call of the cache, or no thread can be started.
        """
        left = flight.leader.half_timeout
        last = self.last
        if last is not None and last.is_alive():  # in a forked child, it is not
            left -= yield from last.wait(last.finished, left)
            if not last.finished.done:
                return None
        work = self.last = CacheWork(self, flight, is_known, left, may_lock=may_lock)
        try:
            work.start()
        except RuntimeError as error:
            self.report(str(error))  # too many threads
            return None
        return work

    def report(self, trouble: str) -> None:
        """Warn once for each outage of the cache. An empty *trouble*: it works."""
        if trouble and not self._has_warned:
            logger.warning(
                "the token cache %r failed (%s). Requests to %s go on without it: this process fetches its"
                " own access tokens. This warning is not repeated until the cache works again.",
                self.cache,
                trouble,
                self.credentials.domain,
            )
        self._has_warned = bool(trouble)


class CacheWork(threading.Thread):
    """The work at a cache for one flight, in a thread of its own.

    Attributes:
        looked: Done when it has looked into the cache, and has the lock or could not get it.
        found: The token that another process has stored, or None.
        finished: Done when everything is done.
    """

    def __init__(
        self,
        shared: SharedCache,
        flight: Flight,
        is_known: Callable[[Token], bool],
        seconds: float,
        *,
        may_lock: bool,
    ) -> None:
        """Prepare the work; `SharedCache.start` starts it.

        Args:
            shared: The cache.
            flight: The flight.
            is_known: Whether a token has been used before.
            seconds: How long the leader waits until the cache has been looked into.
            may_lock: Whether a token request follows if there is nothing in the cache.
        """
        super().__init__(daemon=True, name="thebase_auth-cache")
        self.looked: Final = Event()
        self.found: Token | None = None
        self.finished: Final = Event()
        self._shared = shared
        self._flight = flight
        self._is_known = is_known
        self._may_lock = may_lock
        self._seconds = seconds
        self._calling = ""  # the method of the cache that is running
        self._is_given_up = False
        self._trouble = ""

    # What leaders do.

    def wait_for_record(self) -> Generator[Wait, Any, Token | None]:
        """Wait until the work has looked into the cache, and return what it has found."""
        yield from self.wait(self.looked, self._seconds)
        return self.found

    def wait_until_stored(self) -> Generator[Wait, Any, None]:
        """Wait for the end: the process may end right after this call, and this thread too."""
        yield from self.wait(self.finished, self._flight.leader.half_timeout)

    def wait(self, event: Event, seconds: float) -> Generator[Wait, Any, float]:
        """Wait for *event*, unless a leader has given it up, and return how many seconds it took."""
        if self._is_given_up:
            return 0.0
        waited = yield from wait_for(event, seconds)
        if not event.done:
            self._is_given_up = True
            if self._calling:
                self._trouble = f"{self._calling}() took more than {seconds:.2g} seconds"
                self._shared.report(self._trouble)
        return waited

    # What follows runs in the thread.

    def run(self) -> None:
        """Do the work."""
        try:
            try:
                self._share()
            except BaseException as error:  # noqa: BLE001 - whatever a cache raises
                self._trouble = self._describe(error)
            self._shared.report(self._trouble)
        finally:
            self._shared.last = None  # it would keep the leader's request in memory
            self.looked.finish()
            self.finished.finish()

    def _share(self) -> None:
        record_format = RecordFormat(self._shared.credentials)
        self._load(record_format)
        if self.found is not None or not self._may_lock:
            return
        # A leader that has not waited for us has its token already: it is stored without the lock.
        release = None if self._flight.done else self._lock(record_format.key)
        try:
            self._load(record_format)  # it may have been stored just before the lock was free
            self.looked.finish()
            if self.found is None:
                self._store(record_format)
        finally:
            if release is not None:
                self._call("release", release)

    def _load(self, record_format: RecordFormat) -> None:
        record = self._call("load", self._shared.cache.load, record_format.key)
        token = record_format.read(record)
        if token is not None and not self._is_known(token):
            self.found = token

    def _lock(self, key: str) -> Any:
        """Return what releases the lock; None if the token must be fetched without it."""
        seconds = 0.9 * self._seconds  # so that the reason is known before the leader stops waiting
        try:
            release = self._call("lock", self._shared.cache.lock, key, timeout=seconds)
        except Exception as error:  # noqa: BLE001 - whatever a cache raises
            self._trouble = f"it cannot be locked: {self._describe(error)}"
            return None
        if release is None:
            self._trouble = f"another process has held its lock for {seconds:.2g} seconds"
        return release

    def _store(self, record_format: RecordFormat) -> None:
        """Wait for the token request, and store the token."""
        wait_blocking(self._flight, self._flight.leader.timeout)
        token = self._flight.token
        if token is not None:
            record = record_format.write(token)
            self._call("store", self._shared.cache.store, record_format.key, record, lifetime(token))

    def _call(self, name: str, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self._calling = name
        try:
            return method(*args, **options)
        finally:
            self._calling = ""

    def _describe(self, failure: BaseException) -> str:
        """Return what may be logged of an exception of the cache: a driver may quote the record."""
        quoted = RECORD_BEGINS.split(describe(failure))[0]
        text = self._shared.credentials.redact(quoted)
        token = self._flight.token
        return (text if token is None else text.replace(token.access_token, "[hidden]"))[:300]
