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
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from ._credentials import Credentials
from ._record import RECORD_BEGINS, RecordFormat, lifetime
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
_SHARE_FOR_A_PAUSE: Final = 0.05  # or the last look would be long before the end of the waiting
# In seconds:
_SHORT_ANSWER: Final = 0.25  # a healthy cache may take that
_LONGEST_ANSWER: Final = 3.0
_LONGEST_LEASE: Final = 10.0
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.25

Steps: TypeAlias = Generator[WaitFor, bool, Any]


class _Held:
    """The lock of the cache, which this process has."""

    def __init__(self, release: Callable[[], object], lapses_at: float) -> None:
        self.release = release
        self.lapses_at = lapses_at
        self.process = os.getpid()


class _Failed:
    """In the place of what a call of the cache would have given."""


class Sharing:
    """The side of one auth object in sharing its token through a cache."""

    def __init__(self, cache: TokenCache, credentials: Credentials, renewal: Renewal) -> None:
        self.cache = cache
        self.record = RecordFormat(credentials)
        self.renewal = renewal
        self.taken: deque[Token] = deque(maxlen=16)  # tokens that came from the cache
        # The lock, while this process has it. A list, whose append, pop and remove are atomic.
        self._held: list[_Held] = []
        self._credentials = credentials
        self._last_call: _Call | None = None
        self._told = False
        self._told_of_lock = False

    def turn(self) -> Turn:
        """The dealings of one leader with the cache."""
        return Turn(self)

    def call(
        self,
        function: Callable[[], Any],
        within: float,
        *,
        begins: Callable[[], None] = lambda: None,
    ) -> Steps:
        """What *function* gives, run in a thread of its own; `_Failed` if it does not, in time.

        One at a time: a leader that was cancelled may have left a call behind. *begins* is called when
        that has ended and the thread is started: from then on *function* runs, whatever else happens.
        """
        deadline = time.monotonic() + within
        while (before := self._last_call) is not None and before.is_running():
            left = deadline - time.monotonic()
            if before.is_overdue() or not (yield WaitFor(before.ended, left)):
                before.waited_in_vain = True
                self._tell("an earlier call has not ended yet")
                return _Failed
        call = self._last_call = _Call(function, left_over=self._let_go_if_held)
        try:
            begins()
            try:
                call.start()
            except RuntimeError as error:  # no more threads, or the interpreter is on its way out
                self._tell(f"{type(error).__name__}: {error}")
                return _Failed
            in_time = yield WaitFor(call.result, deadline - time.monotonic())
        except BaseException:
            call.abandon()
            raise
        if not in_time:
            call.waited_in_vain = True
            call.abandon()
            self._tell(
                f"no answer within {within:.1f} seconds", may_be_healthy=within < _SHORT_ANSWER
            )
            return _Failed
        failure = call.result.exception()
        if failure is not None:
            self._tell(self._text_of(failure))
            return _Failed
        return call.result.result()

    def works(self) -> None:
        """Take note that the cache has kept or given a token: its next failure is news again."""
        if self._told:
            logger.info("the token cache %r works again", self.cache)
        self._told = False

    # The lock. A leader that was deposed still has it; then it passes to its successor.

    def hold(self, release: Callable[[], object], lapses_at: float) -> _Held:
        """Take note that this process has the lock, as long as its lease lasts."""
        held = _Held(release, lapses_at)
        self._held.append(held)
        return held

    def inherit(self) -> _Held | None:
        """The lock of an earlier leader of this process, if it has it still."""
        try:
            held = self._held.pop()
        except IndexError:
            return None
        if held.process != os.getpid():
            return None
        mine = self.hold(held.release, held.lapses_at)
        if time.monotonic() < held.lapses_at:
            return mine
        self.let_go_without_waiting(mine)  # where leases end by themselves, another has it by now
        return None

    def let_go(self, held: _Held) -> None:
        """Give the lock back, unless a successor has it. This may block."""
        if held.process != os.getpid():
            return  # it is the parent's
        try:
            self._held.remove(held)
        except ValueError:
            return
        try:
            held.release()
        except BaseException as error:  # noqa: BLE001 - most often it has lapsed already
            logger.debug("the lock of a token cache was not given back: %s", type(error).__name__)

    def let_go_without_waiting(self, held: _Held) -> None:
        """Give the lock back in a thread."""
        with suppress(RuntimeError):  # no thread can be started; the lock will lapse
            _Call(lambda: self.let_go(held), left_over=self._let_go_if_held).start()

    def _let_go_if_held(self, outcome: object, *, may_block: bool) -> None:
        if isinstance(outcome, _Held):
            (self.let_go if may_block else self.let_go_without_waiting)(outcome)

    # What the user is told.

    def _tell(self, trouble: str, *, may_be_healthy: bool = False) -> None:
        if self._told or may_be_healthy:  # known already, or its caller was in too much of a hurry
            logger.debug("the token cache %r failed a caller: %s", self.cache, trouble)
            return
        self._told = True
        logger.warning(
            "the token cache %r failed (%s). Requests to %s go on without it, and this process fetches its"
            " access tokens by itself. This is said once, until the cache works again.",
            self.cache,
            trouble,
            self._credentials.domain,
        )

    def tell_of_lock(self, seconds: float) -> None:
        """Warn, once, that another process did not give the lock back for so many seconds."""
        level = logging.DEBUG if self._told_of_lock else logging.WARNING
        self._told_of_lock = True
        logger.log(
            level,
            "another process holds the lock of the token cache %r for %.1f seconds and more. This process"
            " goes on without the lock. If that recurs, look for a process that is stopped, or a token"
            " endpoint of %s that answers too slowly. This is said once.",
            self.cache,
            seconds,
            self._credentials.domain,
        )

    def _text_of(self, failure: BaseException) -> str:
        try:
            text = str(failure)
        except Exception:  # noqa: BLE001 - it is the user's class
            text = "no text"
        # A database driver may quote what it was to store, and more than one process stores.
        text = self._credentials.redact(text.partition(RECORD_BEGINS)[0])
        token = self.renewal.token
        if token is not None:
            text = text.replace(token.access_token, "[hidden]")
        return f"{type(failure).__name__}: {text[:300]}"


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
        if self._held is not None:
            self._sharing.let_go_without_waiting(self._held)

    def take(self, seconds: float) -> Steps:
        """A token that another process has stored, or None: then fetch one, with the lock if possible.

        Args:
            seconds: How long this caller may spend on a token.
        """
        began = time.monotonic()
        try:
            return (yield from self._take(seconds, began))
        finally:
            self.waited = time.monotonic() - began

    def _take(self, seconds: float, began: float) -> Steps:
        sharing = self._sharing
        give_up_at = began + seconds * random.uniform(*_SHARES_FOR_WAITING)  # noqa: S311
        answer_within = min(seconds * _SHARE_FOR_AN_ANSWER, _LONGEST_ANSWER)
        lease = min(seconds * _SHARE_FOR_THE_LEASE, _LONGEST_LEASE)
        pause, longest_pause = _FIRST_PAUSE, min(seconds * _SHARE_FOR_A_PAUSE, _LONGEST_PAUSE)
        while True:
            found = yield from sharing.call(lambda: self._look(lease), answer_within)
            if found is _Failed:
                self._failed = True
                return None
            if isinstance(found, Token):
                logger.debug("took an access token from %r", sharing.cache)
                sharing.taken.append(found)
                sharing.works()
                return found
            self._held = found or sharing.inherit()
            if self._held is not None:
                return None
            # Together they would all ask at the same moment, again and again.
            pause = min(pause * random.uniform(1.0, 2.0), longest_pause)  # noqa: S311
            left = give_up_at - time.monotonic() - pause
            if left <= 0:
                sharing.tell_of_lock(time.monotonic() - began)
                return None
            answer_within = min(answer_within, left)
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
        held = self._held

        def begins() -> None:
            # The lock is given back after the store, however long that takes.
            self._held = None

        outcome = yield from self._sharing.call(
            lambda: self._store(token, held), within, begins=begins
        )
        if outcome is _Failed:
            self._held = held
        else:
            self._sharing.works()

    # What follows runs in a thread of its own.

    def _look(self, lease: float) -> Token | _Held | None:
        """A token, or the lock, or None: then another process has the lock."""
        sharing = self._sharing
        token = self._load()
        if token is not None:
            return token
        asked_at = time.monotonic()
        release = sharing.cache.lock(sharing.record.key, lease)
        if release is None:
            return None
        held = sharing.hold(release, asked_at + lease)
        try:
            token = self._load()  # it may have been stored just before the lock was free
        except BaseException:
            sharing.let_go(held)
            raise
        if token is None:
            return held
        sharing.let_go(held)
        return token

    def _load(self) -> Token | None:
        sharing = self._sharing
        token = sharing.record.read(sharing.cache.load(sharing.record.key), time.time())
        return None if token is None or sharing.renewal.is_dead(token) else token

    def _store(self, token: Token, held: _Held | None) -> None:
        sharing = self._sharing
        kept_for = lifetime(token, time.time())
        try:
            sharing.cache.store(sharing.record.key, sharing.record.write(token), kept_for)
        finally:
            if held is not None:
                sharing.let_go(held)


class _Call:
    """A call made in a daemon thread. Nobody need wait for its end, the interpreter neither.

    Attributes:
        result: What it gives, unless it was abandoned before.
        ended: Done when the thread is about to end.
        waited_in_vain: Whether somebody has waited for it until their time for that was over.
    """

    def __init__(self, function: Callable[[], Any], *, left_over: Callable[..., None]) -> None:
        self.result: Future[Any] = Future()
        self.ended: Future[None] = Future()
        self.waited_in_vain = False
        self.began = 0.0
        self._left_over = left_over
        self._thread = threading.Thread(
            target=self._run, args=(function,), daemon=True, name="thebase_auth-cache"
        )

    def start(self) -> None:
        """Start the thread, or raise RuntimeError."""
        if sys.is_finalizing():  # before Python 3.12, start() would wait for ever
            raise RuntimeError("the interpreter is on its way out")
        self.began = time.monotonic()
        self._thread.start()

    def is_running(self) -> bool:
        """Whether the thread is there and has not come to its end; in a forked child it is not."""
        return self._thread.is_alive() and not self.ended.done()

    def is_overdue(self) -> bool:
        """Whether nobody should wait for it any more. A hurried caller's measure is not all there is."""
        return self.waited_in_vain and time.monotonic() - self.began >= _SHORT_ANSWER

    def abandon(self) -> None:
        """Let it go on by itself. Nobody takes its outcome any more."""
        if not self.result.cancel() and self.result.exception() is None:
            self._left_over(self.result.result(), may_block=False)

    def _run(self, function: Callable[[], Any]) -> None:
        outcome, error = None, None
        try:
            outcome = function()
        except BaseException as caught:  # noqa: BLE001 - it is told by whoever waits
            error = caught
        if not self.result.set_running_or_notify_cancel():
            self._left_over(outcome, may_block=True)
        elif error is not None:
            self.result.set_exception(error)
        else:
            self.result.set_result(outcome)
        self.ended.set_result(None)
