"""A private certificate authority, as a company has one."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True)
class Certificates:
    """A certificate for localhost, and the authority that signed it."""

    authority: str
    certificate: str
    key: str

    @property
    def context(self) -> ssl.SSLContext:
        """What a client needs to trust the certificate."""
        return ssl.create_default_context(cafile=self.authority)
