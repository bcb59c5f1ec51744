# How one process shares its token with others, through a cache.
#
# Here: what the leader of a flight does with the cache before and after its token request, and what
# happens when the cache fails, hangs or is held up. Not here: the caches (caches), the form of a
# record (_record), and who leads within the process (_renewal).
#
# Of the processes that look for a token at once, one gets the lock, fetches and stores; the others
# look again every now and then until they find its token. They do not stand in line for the lock:
# all find the token within one pause. Their waiting is bounded, so that a process which keeps the lock
# holds nobody up for good: a part of each caller's time is left for a token request of its own.
#
# A cache may block for as long as it likes. Each call of it is therefore made in a daemon thread, and
# its end is waited for like a flight: by a blocked thread, an asyncio or a trio task, for a limited
# time. A call that has not ended by then is left to itself, and gives back what lock it may get.

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from ._credentials import Credentials
from ._record import RecordFormat, lifetime
from ._renewal import Renewal
from ._token import Token
from ._waiting import WaitFor

if TYPE_CHECKING:
    from .caches import TokenCache

logger: Final = logging.getLogger("thebase_auth")

# Of the time that a caller has left. A lock that its process has left behind ends before the first
# of those who wait goes on without it, and they do not all do so at the same moment.
_SHARE_FOR_AN_ANSWER: Final = 0.5
_SHARE_FOR_THE_LEASE: Final = 0.65
_SHARES_FOR_WAITING: Final = (0.7, 0.9)
# In seconds:
_LONGEST_ANSWER: Final = 3.0
_LONGEST_LEASE: Final = 10.0
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.25

Steps: TypeAlias = Generator[WaitFor, bool, Any]


class _Held:
    """The lock of the cache, which this process has."""

    def __init__(self, release: Callable[[], object]) -> None:
        self.release = release
        self.process = os.getpid()


class _Failed:
    """In the place of what a call of the cache would have given."""


class Sharing:
    """The side of one auth object in sharing its token through a cache."""

    def __init__(self, cache: TokenCache, credentials: Credentials, renewal: Renewal) -> None:
        self.cache = cache
        self.record = RecordFormat(credentials)
        self.renewal = renewal
        self.taken: Token | None = None  # the last token that came from the cache
        # The lock, while a leader of this process has it. A list, whose pop and remove are atomic:
        # a leader that was deposed still has it here, and it passes to its successor.
        self.held: list[_Held] = []
        self._credentials = credentials
        self._hanging: threading.Thread | None = None
        self._told = False

    def turn(self) -> Turn:
        """The dealings of one leader with the cache."""
        return Turn(self)

    def call(self, function: Callable[[], Any], within: float) -> Steps:
        """What *function* gives, run in a thread of its own; `_Failed` if it does not, in time."""
        if self._hanging is not None and self._hanging.is_alive():
            return _Failed  # not one more thread for a cache that does not answer
        try:
            errand = _Errand(function)
        except RuntimeError as error:  # no more threads, or the interpreter is on its way out
            self._tell(f"{type(error).__name__}: {error}")
            return _Failed
        try:
            ended = yield WaitFor(errand.result, within)
        except BaseException:
            errand.abandon()
            raise
        if not ended:
            errand.abandon()
            self._hanging = errand.thread
            self._tell(f"no answer within {within:.1f} seconds")
            return _Failed
        failure = errand.result.exception()
        if failure is not None:
            self._tell(f"{type(failure).__name__}: {self._without_secrets(str(failure))}")
            return _Failed
        return errand.result.result()

    def works(self) -> None:
        """Take note that the cache has kept a token, so that its next failure is news again."""
        self._told = False

    def _tell(self, trouble: str) -> None:
        if self._told:
            logger.debug("the token cache %r failed again: %s", self.cache, trouble)
            return
        self._told = True
        logger.warning(
            "the token cache %r failed (%s). Requests to %s go on without it, and this process fetches its"
            " access tokens by itself. This is said once, until the cache works again.",
            self.cache,
            trouble,
            self._credentials.domain,
        )

    def _without_secrets(self, text: str) -> str:
        # A database driver may quote what it was to store.
        token = self.renewal.token
        text = self._credentials.redact(text)
        if token is not None:
            text = text.replace(token.access_token, "[hidden]")
        return text[:300]


class Turn:
    """One leader's dealings with the cache: ``take`` a token, or fetch one and ``give`` it.

    A context manager; the lock is given back however it is left.

    Attributes:
        waited: Seconds that ``take`` has taken.
    """

    def __init__(self, sharing: Sharing) -> None:
        self.waited = 0.0
        self._sharing = sharing
        self._held: _Held | None = None
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        release = self._surrender()
        if release is not None:
            with suppress(RuntimeError):  # no thread can be started: the lock will lapse
                _Errand(lambda: _give_back(release))

    def take(self, seconds: float) -> Steps:
        """A token that another process has stored, or None: then fetch one, with the lock if possible.

        Args:
            seconds: How long this caller may spend on a token.
        """
        began = time.monotonic()
        try:
            share = random.uniform(*_SHARES_FOR_WAITING)  # noqa: S311
            return (yield from self._take(seconds, began + seconds * share))
        finally:
            self.waited = time.monotonic() - began

    def _take(self, seconds: float, give_up_at: float) -> Steps:
        answer_within = min(seconds * _SHARE_FOR_AN_ANSWER, _LONGEST_ANSWER)
        lease = min(seconds * _SHARE_FOR_THE_LEASE, _LONGEST_LEASE)
        pause = _FIRST_PAUSE
        while True:
            found = yield from self._sharing.call(lambda: self._look(lease), answer_within)
            if found is _Failed:
                self._failed = True
                return None
            if isinstance(found, Token):
                logger.debug("took an access token from %r", self._sharing.cache)
                self._sharing.taken = found
                return found
            held = found or self._inherit()
            if held is not None:
                self._keep(held)
                return None
            # Together they would all ask at the same moment, again and again.
            pause = min(pause * random.uniform(1.0, 2.0), _LONGEST_PAUSE)  # noqa: S311
            if time.monotonic() + pause > give_up_at:
                logger.debug("another process holds the lock of %r too long", self._sharing.cache)
                return None
            yield WaitFor(Future(), pause)

    def give(self, token: Token, seconds: float) -> Steps:
        """Store *token*, which has just been fetched, and give the lock back.

        Args:
            token: The token.
            seconds: How long this caller may spend on it.
        """
        if self._failed:
            return
        within = min(seconds * _SHARE_FOR_AN_ANSWER, _LONGEST_ANSWER)
        outcome = yield from self._sharing.call(lambda: self._store(token), within)
        if outcome is not _Failed:
            self._sharing.works()

    # What follows runs in a thread of its own.

    def _look(self, lease: float) -> Token | _Held | None:
        """A token, or the lock, or None: then another process has the lock."""
        sharing = self._sharing
        token = self._load()
        if token is not None:
            return token
        release = sharing.cache.lock(sharing.record.key, lease)
        if release is None:
            return None
        try:
            token = self._load()  # it may have been stored just before the lock was free
        except BaseException:
            _give_back(release)
            raise
        if token is None:
            return _Held(release)
        _give_back(release)
        return token

    def _load(self) -> Token | None:
        sharing = self._sharing
        token = sharing.record.read(sharing.cache.load(sharing.record.key), time.time())
        return None if token is None or sharing.renewal.is_dead(token) else token

    def _store(self, token: Token) -> None:
        sharing = self._sharing
        kept_for = lifetime(token, time.time())
        sharing.cache.store(sharing.record.key, sharing.record.write(token), kept_for)
        release = self._surrender()
        if release is not None:
            _give_back(release)

    # The lock.

    def _keep(self, held: _Held) -> None:
        self._held = held
        self._sharing.held.append(held)

    def _inherit(self) -> _Held | None:
        """The lock of a leader of this very process that was deposed, if it has it.

        Not for a call in a thread of its own, which may be left over from such a leader.
        """
        try:
            held = self._sharing.held.pop()
        except IndexError:
            return None
        return _Held(held.release) if held.process == os.getpid() else None

    def _surrender(self) -> Callable[[], object] | None:
        """What gives the lock back, if this leader has it, and has it still."""
        held, self._held = self._held, None
        if held is None or held.process != os.getpid():
            return None
        try:
            self._sharing.held.remove(held)
        except ValueError:  # a successor has it
            return None
        return held.release


class _Errand:
    """One call, made in a daemon thread. Nobody need wait for its end, the interpreter neither."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.result: Future[Any] = Future()
        self.thread = threading.Thread(
            target=self._run, args=(function,), daemon=True, name="thebase_auth-cache"
        )
        self.thread.start()

    def _run(self, function: Callable[[], Any]) -> None:
        try:
            outcome, error = function(), None
        except BaseException as caught:  # noqa: BLE001 - it is told by whoever waits
            outcome, error = None, caught
        if not self.result.set_running_or_notify_cancel():
            if isinstance(outcome, _Held):
                _give_back(outcome.release)
        elif error is not None:
            self.result.set_exception(error)
        else:
            self.result.set_result(outcome)

    def abandon(self) -> None:
        """Let it go on by itself. A lock that it gets, or has got, is given back."""
        if not self.result.cancel() and self.result.exception() is None:
            outcome = self.result.result()
            if isinstance(outcome, _Held):
                with suppress(RuntimeError):
                    _Errand(lambda: _give_back(outcome.release))


def _give_back(release: Callable[[], object]) -> None:
    try:
        release()
    except Exception as error:  # noqa: BLE001 - most often the lock has lapsed already
        logger.debug("the lock of a token cache was not given back: %s", type(error).__name__)
