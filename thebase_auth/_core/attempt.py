# What a 401 means for one request.
#
# Here: whether it is replayed, with which token, and when the answer is final; the same for every library,
# each of which asks in the order that its way of sending allows. Not here: I/O, and who fetches a token
# (shared_token).

from __future__ import annotations

import logging
import random
from collections.abc import Generator
from typing import Any, Final

from . import notices
from .backoff import Operation
from .bodies import Body
from .caller import Caller, Step
from .core import Core
from .pending import Pending, WaitFor
from .token import Token

logger: Final = logging.getLogger("thebase_auth")

_OUT_OF_STEP: Final = 0.05  # seconds


class Attempt:
    """One request that was answered by a 401.

    Attributes:
        operation: What was called.
        body: The body that was sent.
        refused: The token that the request carried; None if it was none of ours that could be named.
    """

    def __init__(
        self,
        core: Core,
        operation: Operation,
        body: Body,
        refused: Token | None,
        *,
        is_stale: bool = False,
    ) -> None:
        """Take note of a 401 to a request, which *is_stale* if there was a newer token when it was sent."""
        self.operation: Final = operation
        self.body: Final = body
        self.refused = refused
        self._core = core
        self._is_stale = is_stale
        self._was_repeated = False

    def prepare_replay(self) -> bool:
        """Take note of the 401, before it is read; whether to renew and replay, or it is the answer."""
        core, refused = self._core, self.refused
        self._take_note()
        if refused and core.shared.must_keep_401(refused, self.operation, now=core.now()):
            return False
        if self.body.rewind():
            return True
        logger.debug(
            "not replaying %s after a 401: its body cannot be sent once more; the next request fetches"
            " another access token",
            self.operation,
        )
        self.give_up()
        return False

    def give_up(self) -> None:
        """Drop the refused token: there will be no replay."""
        if self.refused is not None:
            self._core.shared.drop(self.refused)

    def renew(self, caller: Caller[Step]) -> Generator[Step | WaitFor, Any, Token | None]:
        """Get a token other than the refused one; None if the 401 stands."""
        if self.operation in self._core.strikes:
            # Processes that revoke each other's tokens must not go on doing so in step.
            yield WaitFor(Pending(), random.uniform(0, _OUT_OF_STEP))  # noqa: S311
        return (yield from caller.renew(self.refused, self.operation))

    def replay_refused(self, token: Token) -> bool:
        """Take note that the replay with *token* was answered by a 401, too; whether to replay once more.

        A token from a cache may have been dead for long, and a stale request has not been tried with the
        token of the moment before. So these are replayed once more.
        """
        self.refused = token
        if not self._was_repeated and (self._is_stale or self._core.came_from_cache(token)):
            self._was_repeated = True
            return True
        self._take_note()
        return False

    def _take_note(self) -> None:
        core = self._core
        if self.refused and core.shared.refused(self.refused, self.operation, now=core.now()):
            notices.of_missing_right(core.credentials, self.operation)
