"""A private certificate authority, as a company has one."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TypedDict


class Tls(TypedDict, total=False):
    """What a server is told, so that it speaks TLS."""

    ssl_certfile: str
    ssl_keyfile: str


@dataclass(frozen=True)
class Certificates:
    """A certificate for localhost, and the authority that signed it."""

    authority: str
    certificate: str
    key: str

    @property
    def tls(self) -> Tls:
        """What a server needs to have the certificate."""
        return {"ssl_certfile": self.certificate, "ssl_keyfile": self.key}

    @property
    def context(self) -> ssl.SSLContext:
        """What a client needs to trust the certificate."""
        return ssl.create_default_context(cafile=self.authority)
