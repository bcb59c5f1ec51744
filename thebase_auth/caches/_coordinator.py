# How one process shares its token with others, through a cache.
#
# Here: what is done at the cache before and after a leader's token request, and what happens if the cache
# fails, hangs or is locked. Not here: the caches (_file, _redis), the form of a record (_record), and who
# leads within the process (the core).
#
# Of the processes that need a token at once, one gets the lock, fetches the token and stores it. The others
# do not queue for the lock: they look again after short pauses until they find the token. Their waiting is
# bounded, so that part of each caller's time is left for a token request without the lock.
#
# A cache may block for any length of time. So each renewal has one daemon thread (an errand) that deals with
# the cache, from the first look to the release of the lock: the lock has one owner. The thread waits for the
# flight; the leader of the flight waits for the thread, but not long, and then goes on without it.
#
# The life of a token in a cache: the process that has fetched it stores it, for as long as it lasts by its
# `expires_in`. The others load it as a `CachedToken`, of which only the first use shows whether it is good. A
# token that was refused, or replaced, in a process counts as absent there from then on, whatever the cache
# holds. The next store overwrites it.

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from functools import cached_property
from typing import Any, Final

from thebase_auth._core.credentials import Credentials
from thebase_auth._core.hidden import without_token
from thebase_auth._core.notices import logger
from thebase_auth._core.pending import Pending, WaitFor
from thebase_auth._core.shared_token import Flight, SharedToken
from thebase_auth._core.token import Token
from thebase_auth._waiting import wait_blocking

from ._protocol import TokenCache
from ._record import RECORD_BEGINS, RecordFormat, lifetime

# Shares of the time that a caller has left. A lock that a dead process has left behind expires before the
# first waiter with the same timeout goes on without it, and the waiters do not all go on at the same moment.
_SHARE_FOR_THE_LEASE: Final = 0.65
_SHARES_FOR_WAITING: Final = (0.7, 0.9)
_SHARE_FOR_A_PAUSE: Final = 0.05  # keeps the last look close to the end of the waiting
# In seconds:
_SHORT_ANSWER: Final = 0.25  # a healthy cache may take this long
_LONGEST_ANSWER: Final = 3.0
_LONGEST_LEASE: Final = 10.0
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.25


def _answer_within(seconds: float) -> float:
    """How long a leader with so many seconds waits for an answer of the cache."""
    return min(seconds / 2, _LONGEST_ANSWER)


class Coordinator:
    """What one auth object does to share its token through a cache."""

    def __init__(self, cache: TokenCache, credentials: Credentials, shared: SharedToken) -> None:
        self.cache: Final = cache
        self.shared: Final = shared
        self._credentials = credentials
        self._last: Errand | None = None
        self._warned = False
        self._warned_of_lock = False

    @cached_property
    def record(self) -> RecordFormat:
        """Key and form of the record. Made when first needed, in a thread, because it takes about 30 ms."""
        return RecordFormat(self._credentials)

    def load(self, flight: Flight, seconds: float) -> Generator[WaitFor, None, Errand | None]:
        """Look for a token that another process has stored; if there is none, try to get the lock.

        Args:
            flight: The flight of the leader that asks.
            seconds: How long the leader may spend on a token.

        Returns:
            The errand, which may have found a token, and will store the one that is fetched; None if the
            cache does not answer.
        """
        began, answer_within = time.monotonic(), _answer_within(seconds)
        if (before := self._last) is not None and before.is_running():
            if not before.is_overdue():
                yield WaitFor(before.ended, answer_within)
            if before.is_running():
                before.give_up(answer_within, "an earlier call has not ended yet")
                return None
            seconds -= time.monotonic() - began
        try:
            errand = self._last = Errand(self, flight, seconds)
        except RuntimeError as error:  # no more threads, or the interpreter is shutting down
            self.warn(self.describe(error))
            return None
        stop_at = time.monotonic() + seconds * _SHARES_FOR_WAITING[1]
        while not errand.looked.over:
            left = min(errand.answered_at + answer_within, stop_at) - time.monotonic()
            if left <= 0:
                errand.give_up(time.monotonic() - began)
                break
            yield WaitFor(errand.looked, left)
        return errand

    # What is logged.

    def note_working(self) -> None:
        """Take note that the cache works: its next failure is logged as a warning again."""
        if self._warned:
            logger.info("the token cache %r works again", self.cache)
        self._warned = False

    def warn(self, trouble: str, *, may_be_healthy: bool = False) -> None:
        """Warn that the cache has failed: once, until it works again."""
        if self._warned or may_be_healthy:
            logger.debug("the token cache %r failed a caller: %s", self.cache, trouble)
            return
        self._warned = True
        logger.warning(
            "the token cache %r failed (%s). Requests to %s go on without it: this process fetches its own"
            " access tokens. This warning is not repeated until the cache works again.",
            self.cache,
            trouble,
            self._credentials.domain,
        )

    def warn_of_lock(self, seconds: float) -> None:
        """Warn, once, that another process has held the lock for so many seconds."""
        logger.log(
            logging.DEBUG if self._warned_of_lock else logging.WARNING,
            "another process has held the lock of the token cache %r for %.1f seconds or more. This process"
            " goes on without the lock. If that happens again, look for a process that hangs, or a token"
            " endpoint of %s that answers too slowly. This warning is not repeated.",
            self.cache,
            seconds,
            self._credentials.domain,
        )
        self._warned_of_lock = True

    def describe(self, failure: BaseException) -> str:
        """What may be logged of an exception of the cache."""
        try:
            text = str(failure)
        except Exception:  # noqa: BLE001 - any class may come here
            text = "no text"
        # A driver may quote the record that it was to store.
        text = self._credentials.redact(RECORD_BEGINS.split(text)[0])
        if (token := self.shared.token) is not None:
            text = without_token(text, token.access_token)
        return f"{type(failure).__name__}: {text[:300]}"


class Errand:
    """The work at the cache for one flight, in a thread: look, wait for the token, store, release.

    Attributes:
        looked: Over when it has looked into the cache.
        ended: Over when everything is done.
        found: The token that another process has stored, or None.
        answered_at: When the cache last answered, or was first asked.
        given_up: Whether a leader has stopped waiting for it.
    """

    def __init__(self, coordinator: Coordinator, flight: Flight, seconds: float) -> None:
        """Start the thread.

        Raises:
            RuntimeError: if it cannot be started.
        """
        self.looked = Pending()
        self.ended = Pending()
        self.found: Token | None = None
        self.answered_at = self._began = time.monotonic()
        self.given_up = False
        self._coordinator = coordinator
        self._flight = flight
        self._seconds = seconds
        self._lease = min(seconds * _SHARE_FOR_THE_LEASE, _LONGEST_LEASE)
        self._release = ExitStack()  # empty, or what releases the lock
        self._thread = threading.Thread(target=self._run, daemon=True, name="thebase_auth-cache")
        if sys.is_finalizing():  # before Python 3.12, start() would hang
            raise RuntimeError("the interpreter is shutting down")
        self._thread.start()

    def is_running(self) -> bool:
        """Whether the thread is alive and not done; a forked child does not have it."""
        return self._thread.is_alive() and not self.ended.over

    def is_overdue(self) -> bool:
        """Whether nobody should wait for it any longer.

        A caller with little time must not condemn a slow but healthy cache.
        """
        return self.given_up and time.monotonic() - self._began >= _SHORT_ANSWER

    def give_up(self, waited: float, trouble: str = "") -> None:
        """Take note that a leader has waited so many seconds for an answer, and goes on without it."""
        self.given_up = True
        trouble = trouble or f"it took more than {waited:.1f} seconds"
        self._coordinator.warn(trouble, may_be_healthy=waited < _SHORT_ANSWER)

    def wait_until_stored(self, seconds: float) -> Generator[WaitFor, None, None]:
        """Wait until the token is stored: the process may end right after, and the thread with it.

        Args:
            seconds: How long the leader may spend on it.
        """
        within = _answer_within(seconds)
        if not self.given_up:
            yield WaitFor(self.ended, within)
            if not self.ended.over:
                self.give_up(within)

    # What follows runs in the thread.

    def _run(self) -> None:
        try:
            self._look()
            self.looked.end()
            if self.found is None:
                self._store_what_is_fetched()
        except BaseException as error:  # noqa: BLE001 - whatever a cache raises
            self._coordinator.warn(self._coordinator.describe(error))
        finally:
            self._let_go()
            self.looked.end()
            self.ended.end()

    def _look(self) -> None:
        """Find a token or get the lock; or neither, if another process holds the lock for too long."""
        stop_waiting_at = self._began + self._seconds * random.uniform(*_SHARES_FOR_WAITING)  # noqa: S311
        pause, longest_pause = _FIRST_PAUSE, min(self._seconds * _SHARE_FOR_A_PAUSE, _LONGEST_PAUSE)
        key = self._coordinator.record.key
        self.answered_at = time.monotonic()  # making the key took time that is not the cache's
        while not self._flight.over:
            self._load(key)
            if self.found is not None:
                return
            release: Any = self._coordinator.cache.lock(key, self._lease)
            self.answered_at = time.monotonic()
            if release is not None and release is not False:  # some caches return `acquired and release`
                self._release.callback(release)
                self._load(key)  # it may have been stored just before the lock was free
                return
            # Of random length, or all processes would ask at the same moment, again and again.
            pause = min(pause * random.uniform(1.0, 2.0), longest_pause)  # noqa: S311
            if time.monotonic() + pause >= stop_waiting_at:
                self._coordinator.warn_of_lock(time.monotonic() - self._began)
                return
            wait_blocking(self._flight, pause)

    def _store_what_is_fetched(self) -> None:
        flight, coordinator = self._flight, self._coordinator
        wait_blocking(flight, self._lease)
        if not flight.over:
            self._let_go()  # so that another process may try
            wait_blocking(flight, self._seconds)
        if (token := flight.token) is not None and not coordinator.shared.is_former(token):
            record = coordinator.record
            coordinator.cache.store(record.key, record.write(token), lifetime(token, time.time()))
            coordinator.note_working()

    def _load(self, key: str) -> None:
        coordinator = self._coordinator
        record = coordinator.cache.load(key)
        self.answered_at = time.monotonic()
        token = coordinator.record.read(record, time.time())
        if token is not None and not coordinator.shared.is_former(token):
            self.found = token
            logger.debug("took an access token from %r", coordinator.cache)
            coordinator.note_working()

    def _let_go(self) -> None:
        try:
            self._release.close()
        except BaseException as error:  # noqa: BLE001 - most often it has lapsed already
            logger.debug("the lock of a token cache was not released: %s", type(error).__name__)
