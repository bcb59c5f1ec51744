# What a 401 means for one request.
#
# Here: the policy, as an object without I/O that every adapter asks: may the request be replayed, and once
# more if the other token is refused too? Not here: how a caller gets that token (caller, shared_token), and
# the order of it: note the 401, read it, renew, rewind the body, replay (requests, _httpx_flow).

from __future__ import annotations

from typing import Final

from . import notices
from .backoff import Operation
from .bodies import Body
from .core import Core
from .notices import logger
from .token import CachedToken, Token


class Attempt:
    """One request that got a 401.

    Attributes:
        operation: What was called.
        body: The body that was sent.
        refused: The token that the request carried; None if it is not known which.
    """

    def __init__(
        self, core: Core, operation: Operation, body: Body, refused: Token | None, *, is_stale: bool = False
    ) -> None:
        """Start with the 401. *is_stale*: a newer token was in use when the request was sent."""
        self.operation: Final = operation
        self.body: Final = body
        self.refused = refused
        self._core = core
        self._is_stale = is_stale
        self._was_repeated = False

    def prepare_replay(self) -> bool:
        """Take note of the 401, before it is read. True: renew and replay. False: the 401 is the answer."""
        core, refused = self._core, self.refused
        self._take_note()
        if refused and core.shared.must_keep_401(refused, self.operation, now=core.now()):
            return False
        if self.body.rewind():
            return True
        logger.debug(
            "not replaying %s after a 401: its body cannot be sent again; the next request has another token",
            self.operation,
        )
        self.drop_refused()
        return False

    def drop_refused(self) -> None:
        """Drop the refused token, since there will be no replay."""
        if self.refused is not None:
            self._core.shared.drop(self.refused)

    def replay_refused(self, token: Token) -> bool:
        """Take note that the replay with *token* got a 401 too. True: once more, from `prepare_replay` on.

        That is so once, if the token came from a cache, where it may have been dead for long, or if the
        request was stale, so that no token has been fetched for it yet.
        """
        self.refused = token
        if not self._was_repeated and (self._is_stale or isinstance(token, CachedToken)):
            self._was_repeated = True
            return True
        self._take_note()
        return False

    def _take_note(self) -> None:
        core = self._core
        if self.refused and core.shared.note_refusal(self.refused, self.operation, now=core.now()):
            notices.of_missing_right(core.credentials, self.operation)
