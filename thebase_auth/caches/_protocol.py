# What `TheBaseAuth(cache=...)` accepts.

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class TokenCache(Protocol):
    """What ``TheBaseAuth(cache=...)`` accepts: any object with these three methods.

    They are called when a token is missing or rejected, never for a request with a good token. They are
    called in background threads, several at once, never in the thread of an event loop. They may block,
    and may raise anything: the request then goes on without the cache.
    """

    def load(self, key: str) -> str | None:
        """Return the record that was stored last under *key*, or None.

        Args:
            key: 64 lower-case hexadecimal digits.
        """

    def store(self, key: str, record: str, lifetime: float) -> None:
        """Keep *record* under *key*, and replace any before it.

        Args:
            key: As in `load`.
            record: A line of ASCII text, a few hundred characters.
            lifetime: Seconds after which the record is useless.
        """

    def lock(self, key: str, *, timeout: float) -> Callable[[], object] | None:
        """Wait for the lock, which is the right to fetch the next token.

        A lock that outlives its process should end by itself after half of *timeout*, so that one of
        the waiters gets it in time.

        Args:
            key: As in `load`.
            timeout: Seconds to wait.

        Returns:
            A function that releases the lock; None if others have held it all the time.
        """
