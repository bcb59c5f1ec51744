# What `TheBaseAuth(cache=...)` takes.
#
# Here: the three methods of a cache, and for how long one keeps a record. Not here: the caches of this
# package (_file, _redis), and who calls these methods (_coordinator).

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

_UNKNOWN_LIFETIME: Final = 3600.0  # seconds; what the vendor's page shows
_LONGEST_LIFETIME: Final = 30 * 24 * 3600.0  # seconds


class TokenCache(Protocol):
    """What ``TheBaseAuth(cache=...)`` takes: any object with these three methods.

    They are called when a token is missing or refused, never for a request that has a good token;
    from several threads at once, but never from the thread of an event loop. They may block, and may
    raise anything: a request then goes on without the cache.
    """

    def load(self, key: str) -> str | None:
        """Give the record that was stored last under *key*, or None.

        Args:
            key: 64 lower-case hexadecimal digits.
        """

    def store(self, key: str, record: str, lifetime: float | None) -> None:
        """Keep *record* under *key*, in the place of any before.

        Args:
            key: As in `load`.
            record: A line of ASCII text, a few hundred characters.
            lifetime: Seconds after which the record is of no use; None if that is not known.
        """

    def lock(self, key: str, lease: float) -> Callable[[], object] | None:
        """Try to get the right to fetch the next token, without waiting for it.

        It may be given back in another thread than it was taken in.

        Args:
            key: As in `load`.
            lease: Seconds after which the lock should end by itself, should this process die.

        Returns:
            What gives the lock back when it is called, or None if another has the lock.
        """


def bounded(lifetime: float | None) -> float:
    return _UNKNOWN_LIFETIME if lifetime is None else min(lifetime, _LONGEST_LIFETIME)
