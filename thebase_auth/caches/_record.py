# A token in a cache: its key, its form, and what is checked when it is read back.
#
# Key and seal are derived from domain, client ID and client secret by a slow one-way function (PBKDF2, RFC
# 8018), since a secret may be guessable. Without the secret, nobody can find the key or seal a record: a
# token is neither picked up by mistake nor planted. Whoever can read the cache can read the token.

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from functools import lru_cache
from typing import Final

from thebase_auth._core.credentials import Credentials
from thebase_auth._core.token import Token

_VERSION: Final = 1
#: To recognise a record that an error message quotes, perhaps as part of a URL.
RECORD_BEGINS: Final = re.compile(rf"(?:\[|%5B){_VERSION}(?:,|%2C)", re.IGNORECASE)
_UNKNOWN_LIFETIME: Final = 3600.0  # seconds; what the vendor's page shows
_LONGEST_LIFETIME: Final = 30 * 24 * 3600.0  # seconds
_ITERATIONS: Final = 200_000  # about 30 ms, once for each client


class RecordFormat:
    """The key and the form of the tokens of one client."""

    def __init__(self, credentials: Credentials) -> None:
        both = _derived(credentials.origin.url, credentials.client_id, credentials.client_secret.reveal())
        self.key: Final = both[:32].hex()
        self._seal_key: Final = both[32:]

    def write(self, token: Token) -> str:
        """Return the record of *token*."""
        content = json.dumps([_VERSION, str(token.access_token), token.expires_at])
        return f"{self._seal(content.encode()).decode()} {content}"

    def read(self, record: object) -> Token | None:
        """Return the token in *record*; None if it is not one of ours, has another version, or has expired.

        Args:
            record: What a cache returned: anything at all.
        """
        if isinstance(record, str):
            record = record.encode("utf-8", "surrogatepass")
        if not isinstance(record, bytes):
            return None
        seal, _, content = record.partition(b" ")
        if not hmac.compare_digest(self._seal(content), seal):
            return None
        version, *fields = json.loads(content)  # after the seal: nothing else is parsed
        if version != _VERSION:
            return None
        token = Token(*fields, is_from_cache=True)
        return None if token.is_expired() else token

    def _seal(self, content: bytes) -> bytes:
        return hmac.new(self._seal_key, content, "sha256").hexdigest().encode()


def lifetime(token: Token) -> float:
    """Return the seconds for which a cache should keep *token*."""
    if token.expires_at is None:
        return _UNKNOWN_LIFETIME
    return min(max(token.expires_at - time.time(), 0.0), _LONGEST_LIFETIME)


@lru_cache(maxsize=128)
def _derived(url: str, client_id: str, client_secret: str) -> bytes:
    salt = json.dumps(["thebase_auth", url, client_id]).encode()
    return hashlib.pbkdf2_hmac("sha256", client_secret.encode(), salt, _ITERATIONS, dklen=64)
