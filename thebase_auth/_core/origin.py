# Where a token may go: the domain as people paste it, its origin (RFC 6454: scheme, host and port), and
# the one rule that decides whether a URL belongs to that origin.
#
# Two parsers of one URL may disagree about its host: user-info, backslashes, tabs and percent signs have
# fooled many. So only one plain form of a URL counts as ours. A request to any other goes out unsigned.

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Final, NamedTuple, Self

from .errors import PlainHTTPError

#: Where TheBase shows domain, client id and client secret.
SETTINGS: Final = "Settings, Webhooks/API, API token"
DEFAULT_PORTS: Final = {"https": 443, "http": 80}
#: A domain as people paste it: scheme, host and port. Only the host is required.
_PASTED = re.compile(r"(?:(.*)://)?([^@/\\?#]*?)(?::([^]:@/\\?#]*))?/?", re.DOTALL)
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
# User-info does not change where a request goes, unless it contains a slash, a backslash or white space,
# which parsers read differently.
_PLAIN_URL = re.compile(
    r"(?P<scheme>https?)://(?:[^/?#@\\\s]*@)?"
    rf"(?P<host>(?![a-z0-9._-]{{254}}){_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{0,5}))?(?=[/?#]|\Z)",
    re.ASCII | re.IGNORECASE,
)
_is_loopback = re.compile(r"localhost|127\.[0-9.]+|\[::1\]").fullmatch  # of a normalised host


class Origin(NamedTuple):
    """Scheme, host and port, normalised: lower case, ASCII, a number."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of_domain(cls, domain: object) -> Self:
        """Read the domain as the vendor's settings screen shows it, and as people paste it.

        Args:
            domain: A host name, international or not, or an IP address; with or without a port,
                ``https://`` before it and one ``/`` after it.

        Raises:
            ValueError: if it is anything else. The text says what is wrong, and does not repeat
                what was given, which may be the secret, pasted into the wrong place.
        """
        if not isinstance(domain, str):
            raise _wrong(f"must be text, not {type(domain).__name__}")
        # What is copied from a right-to-left page comes with direction marks (category Cf).
        invisible = [c for c in domain if c.isspace() or unicodedata.category(c) == "Cf"]
        pasted = domain.strip("".join(invisible))
        if not pasted:
            raise _wrong("is empty")
        found = _PASTED.fullmatch(pasted)
        if found is None:
            raise _wrong("has a path, a query, a fragment or user-info")
        scheme, host, port = found.groups()
        scheme = "https" if scheme is None else scheme.lower()
        if scheme not in DEFAULT_PORTS:
            raise _wrong("has a scheme other than https")
        if port is not None and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
            raise _wrong("has a port that is not a number from 1 to 65535")
        if not host.isascii():
            host = _idna(host)
        origin = cls.of_url(f"{scheme}://{host.removesuffix('.')}:{port or ''}")
        if origin is None:
            raise _wrong("is not a valid host name, IPv4 address or IPv6 address in brackets")
        if scheme == "http" and not _is_loopback(origin.host):
            raise _wrong("is given with http://, which is allowed only for loopback hosts: use https")
        return origin

    @classmethod
    def of_url(cls, url: str) -> Self | None:
        """Return the origin of a URL in its plain form; None for any other URL."""
        found = _PLAIN_URL.match(url)
        if found is None:
            return None
        scheme = found["scheme"].lower()
        host = found["host"].lower()
        try:
            if host.startswith("["):
                host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
            elif host.rpartition(".")[2].isdigit():  # what ends in a number is an address
                host = str(ipaddress.IPv4Address(host))
        except ValueError:
            return None
        return cls(scheme, host, int(found["port"] or DEFAULT_PORTS[scheme]))

    @classmethod
    def of_parts(cls, scheme: str, host: str, port: int | None) -> Self:
        """Return the origin of a URL as a library has parsed it; *port* is None for the default one."""
        if ":" in host:
            host = f"[{ipaddress.IPv6Address(host)}]"
        return cls(scheme, host, port or DEFAULT_PORTS.get(scheme, 0))

    @property
    def netloc(self) -> str:
        """The host, and the port unless it is the default of the scheme."""
        return self.host if self.port == DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """How URLs of this origin begin, without a slash at the end."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine."""
        return _is_loopback(self.host) is not None

    def must_sign(self, other: Origin | None) -> bool:
        """Return whether a request to *other* gets the token.

        Raises:
            PlainHTTPError: if it goes to the domain over plain http.
        """
        if other == self:
            return True
        if other is None or other.host != self.host:
            return False
        if other.scheme != "http" or self.scheme != "https":
            return False
        if other.port != self.port and self.is_loopback:
            return False  # another service of this machine
        raise PlainHTTPError(
            f"a request to {self.netloc} over http:// was not sent, because anyone on the way could read"
            " its token; write https:// in its URL",
            self.netloc,
        )


def _wrong(what: str) -> ValueError:
    return ValueError(
        f"domain {what}; give it as TheBase shows it under {SETTINGS}, for example 'acme.thebase.co.il'"
    )


def _idna(host: str) -> str:
    # requests, httpx and httpx2 encode with this package too, so all agree.
    import idna

    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise _wrong("is not a valid international host name") from None
