# What `TheBaseAuth(cache=...)` takes.
#
# Here: the three methods of a cache, and how long it keeps a record. Not here: the caches of this package
# (_file, _redis), and the calls of these methods (_coordinator).

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

_UNKNOWN_LIFETIME: Final = 3600.0  # seconds; what the vendor's page shows
_LONGEST_LIFETIME: Final = 30 * 24 * 3600.0  # seconds


class TokenCache(Protocol):
    """What ``TheBaseAuth(cache=...)`` takes: any object with these three methods.

    They are called when a token is missing or refused, never for a request with a good token. They are
    called from several threads at once, never from the thread of an event loop. They may block, and may
    raise anything: the request then goes on without the cache.
    """

    def load(self, key: str) -> str | None:
        """Return the record that was stored last under *key*, or None.

        Args:
            key: 64 lower-case hexadecimal digits.
        """

    def store(self, key: str, record: str, lifetime: float | None) -> None:
        """Keep *record* under *key*, and replace any before it.

        Args:
            key: As in `load`.
            record: A line of ASCII text, a few hundred characters.
            lifetime: Seconds after which the record is useless; None if that is not known.
        """

    def lock(self, key: str, lease: float) -> Callable[[], object] | None:
        """Try to get the lock, which is the right to fetch the next token, without waiting for it.

        The lock may be released in another thread than the one that took it.

        Args:
            key: As in `load`.
            lease: Seconds after which the lock should end by itself if this process dies.

        Returns:
            A function that releases the lock, or None if somebody else has it.
        """


def bounded(lifetime: float | None) -> float:
    return _UNKNOWN_LIFETIME if lifetime is None else min(lifetime, _LONGEST_LIFETIME)
