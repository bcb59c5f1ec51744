# What a 401 means for one request.
#
# Here: whether it is replayed, with which token, and when the answer is final; the same for every library,
# each of which asks in the order that its way of sending allows. Not here: I/O, and who fetches a token
# (shared_token).

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator
from typing import Any, Final

from . import notices
from .backoff import Operation
from .bodies import Body
from .core import Core, FetchSteps
from .pending import Pending, Task, WaitFor
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
        """Whether to go for another token. To be asked before the 401 is read: if not, it is the answer."""
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

    def other_token(
        self,
        fetch: FetchSteps,
        timeouts: dict[str, object],
        *,
        task: Task | None = None,
        is_shared: Callable[[Exception], bool] = lambda _: False,
    ) -> Generator[Any, Any, Token | None]:
        """A token other than the refused one; None if the 401 stands. See `Core.token_steps`."""
        if self.operation in self._core.strikes:
            # Processes that revoke each other's tokens must not go on doing so in step.
            yield WaitFor(Pending(), random.uniform(0, _OUT_OF_STEP))  # noqa: S311
        return (
            yield from self._core.token_steps(
                fetch,
                timeouts,
                refused=self.refused,
                operation=self.operation,
                task=task,
                is_shared=is_shared,
            )
        )

    def is_final(self, token: Token) -> bool:
        """Whether a 401 to the replay with *token* is the answer.

        A token from a cache may have been dead for long, and a stale request has not been tried with the
        token of the moment before. So these are replayed once more.
        """
        self.refused = token
        if not self._was_repeated and (self._is_stale or self._core.came_from_cache(token)):
            self._was_repeated = True
            return False
        self._take_note()
        return True

    def _take_note(self) -> None:
        core = self._core
        if self.refused and core.shared.refused(self.refused, self.operation, now=core.now()):
            notices.of_missing_right(core.credentials, self.operation)
