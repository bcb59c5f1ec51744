"""No URL, however spelled, takes a token elsewhere: in each library, up to where it would connect to.

A call either raises `PlainHTTPError`, or goes out unsigned, or carries the token and then goes to scheme, host
and port of the domain: according to the library, which is asked where it would connect to, and to two other
parsers of URLs (the standard library, and ada, which parses as browsers do).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import httpx
import httpx2
import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter

from tests.properties import looked_at
from tests.support.clients import aiohttp_auth_of, auth_for, run_asyncio
from tests.support.world import FakeConnector
from thebase_auth import PlainHTTPError, Token
from thebase_auth._core.origin import Origin

try:
    ada_url: Any = import_module("ada_url")
except ImportError:  # no wheel for this Python: the other parser has to do
    ada_url = None

ORIGINS = [
    Origin("https", "acme.thebase.co.il", 443),
    Origin("https", "acme.thebase.co.il", 8443),
    Origin("https", "xn--4dbrk0ce.co.il", 443),
    Origin("https", "[2001:db8::1]", 443),
    Origin("https", "203.0.113.7", 443),
    Origin("http", "127.0.0.1", 8000),
    Origin("http", "[::1]", 8000),
]


#: Scheme, host and port, normalised.
Place: TypeAlias = tuple[str, str, int]


def place(scheme: str, host: str, port: int | str | None) -> Place:
    scheme, host = scheme.rstrip(":").lower(), host.strip("[]").lower()
    if ":" in host:
        host = str(ipaddress.IPv6Address(host))
    return scheme, host, int(port or {"https": 443, "http": 80}[scheme])


def by_urlsplit(url: str) -> Place:
    parts = urlsplit(url)
    return place(parts.scheme, parts.hostname or "", parts.port)


def by_ada(url: str) -> Place:
    parts = ada_url.URL(url)
    return place(parts.protocol, parts.hostname, parts.port)


PARSERS: list[Callable[[str], Place]] = [by_urlsplit]
if ada_url is not None:
    PARSERS.append(by_ada)


class Sent(NamedTuple):
    """A request on its way: as text, what it carries, and where the library would connect to."""

    url: str
    authorization: str | None
    scheme: str
    host: str
    port: int | None


# How each library signs a request. Without an auth object, they show whether they accept the URL at all.


def send_with_requests(url: str, auth: Any) -> Sent:
    request: Any = requests.Request("GET", url, auth=auth).prepare()
    where, _ = HTTPAdapter().build_connection_pool_key_attributes(request, True)
    authorization = request.headers.get("Authorization")
    return Sent(request.url, authorization, where["scheme"], where["host"], where["port"])


def send_with_httpx(library: Any) -> Callable[[str, Any], Sent]:
    def send(url: str, auth: Any) -> Sent:
        request = library.Request("GET", url)
        if auth is not None:
            next(auth.sync_auth_flow(request))
        goes_to = request.url  # what HTTPTransport hands to httpcore
        scheme, host = goes_to.raw_scheme.decode(), goes_to.raw_host.decode()
        return Sent(str(goes_to), request.headers.get("Authorization"), scheme, host, goes_to.port)

    return send


def send_with_aiohttp(url: str, auth: Any) -> Sent:
    sent: list[Sent] = []

    async def respond(request: Any) -> tuple[int, dict[str, str], bytes]:
        host, port, is_ssl, *_ = request.connection_key
        authorization = request.headers.get("Authorization")
        sent.append(Sent(str(request.url), authorization, "https" if is_ssl else "http", host, port))
        return 200, {}, b""

    async def send() -> None:
        middlewares = () if auth is None else (aiohttp_auth_of(auth),)
        connector = FakeConnector(respond)
        async with aiohttp.ClientSession(middlewares=middlewares, connector=connector) as session:
            await session.get(url)

    run_asyncio(send)
    return sent[0]


LIBRARIES: dict[str, Callable[[str, Any], Sent]] = {
    "requests": send_with_requests,
    "httpx": send_with_httpx(httpx),
    "httpx2": send_with_httpx(httpx2),
    "aiohttp": send_with_aiohttp,
}
if not hasattr(HTTPAdapter, "build_connection_pool_key_attributes"):
    del LIBRARIES["requests"]  # before 2.32 it cannot be asked where it would go
each_library = pytest.mark.parametrize("send", LIBRARIES.values(), ids=LIBRARIES)


def auth_with_token(origin: Origin) -> Any:
    auth = auth_for(origin.url)
    auth._renewal.token = Token("canary~token")
    return auth


# URLs around a domain, spelled in all the ways that have fooled somebody.

ODD = ["\t", "\n", "\r", "\x00", " ", "\u200b", "\u200f", "\u00ad", "\ufeff", "\xa0", "@", ":", "/", "\\", "?",
       "#", "%", "%00", "%2e", "%2f", "%40", "%5c", "%09", ";", ",", "&", "=", "+", "*", "[", "]", "^", "|", "<",
       '"', "`", "{", "．", "。", "／", "＠", "：", "？", "＃", "\ud800", "é", "ſ", "K", "א"]  # fmt: skip
EVIL = ["evil.com", "evil.com:443", "[::2]", "1.2.3.4"]
FULL_WIDTH = {ord(plain): chr(ord(plain) + 0xFEE0) for plain in "abcdefghijklmnopqrstuvwxyz0123456789.:"}
OTHER_SPELLINGS = {
    "acme.thebase.co.il": ["acme.theba\u017fe.co.il", "acme.thebase.co.\u0131l", "xn--acme.thebase.co.il", "acme"],
    "xn--4dbrk0ce.co.il": ["ישראל.co.il", "ישראל。co。il", "XN--4DBRK0CE.co.il"],
    "[2001:db8::1]": ["[2001:DB8:0:0:0::1]", "[2001:db8::0.0.0.1]", "[2001:db8::1%25eth0]", "[2001:db8::1%eth0]",
                      "2001:db8::1", "[v1.2001:db8::1]"],
    "203.0.113.7": ["3405803783", "0xcb007107", "203.0.28935", "0313.0.0161.07", "[::ffff:203.0.113.7]",
                    "[::ffff:cb00:7107]"],
    "127.0.0.1": ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0"],
    "[::1]": ["[0:0::1]", "[::0.0.0.1]", "localhost", "[::1%25lo]", "::1"],
}  # fmt: skip


@st.composite
def urls(draw: st.DrawFn, origin: Origin) -> str:
    def maybe(odd: st.SearchStrategy[str]) -> str:
        return draw(st.just("") | st.just("") | odd)

    host = draw(st.sampled_from([origin.host] * 5 + OTHER_SPELLINGS[origin.host] + EVIL))
    ways = ["plain"] * 5 + ["upper", "wide", "dot", "percent", "insert", "before", "behind"]
    match draw(st.sampled_from(ways)):
        case "upper":
            host = host.upper()
        case "wide":
            host = host.translate(FULL_WIDTH)
        case "dot":
            host += "."
        case "percent":
            at = draw(st.integers(0, len(host) - 1))
            host = f"{host[:at]}%{ord(host[at]) % 256:02x}{host[at + 1 :]}"
        case "insert":
            at = draw(st.integers(0, len(host)))
            host = host[:at] + draw(st.sampled_from(ODD)) + host[at:]
        case "before":
            host = draw(st.sampled_from(EVIL)) + draw(st.sampled_from(ODD)) + host
        case "behind":
            host += draw(st.sampled_from(ODD)) + draw(st.sampled_from(EVIL))
    user = maybe(
        st.sampled_from(["u:p@", "@", "u@", "evil.com@", "evil.com:443@", "a@b@", "evil.com\\@", "evil.com/@",
                         "evil.com#@", "evil.com?@", "evil.com%2f@", "[::2]@"])
    )  # fmt: skip
    ports = ["", ":", ":443", ":0443", ":8443", ":8000", ":80", ":000443", ":443x", ":+443", ":٤٤٣", ":65979"]
    port = draw(st.sampled_from([f":{origin.port}"] * 6 + ports))
    schemes = ["https", "http", "HTTPS", "httpſ", "ht\ttps", " https", "ftp", "https ", "httpx", ""]
    scheme = draw(st.sampled_from([origin.scheme] * 12 + schemes))
    slashes = draw(
        st.sampled_from(["://"] * 12 + [":", ":/", ":///", ":\\\\", "//", ":/\t/", "：//", ":/\\"])
    )
    rest = draw(st.sampled_from(["", "/", "/v2/users?limit=5", "/from", "?a=b@evil.com", "#@evil.com/", "\\@evil.com/",
                                 "/..//evil.com", "//evil.com/x", ";@evil.com/", "/\\evil.com", "\t@evil.com"]))  # fmt: skip
    return f"{scheme}{slashes}{user}{host}{port}{maybe(st.sampled_from(ODD))}{rest}"


CASES = st.sampled_from(ORIGINS).flatmap(lambda origin: st.tuples(st.just(origin), urls(origin)))


@each_library
@looked_at(times=5)
@given(CASES | st.tuples(st.sampled_from(ORIGINS), st.text(max_size=60)))
@example((ORIGINS[0], "https://acme.thebase.co.il:0443/@evil.com"))
@example((ORIGINS[0], "https://acme.thebase.co.il.evil.com/"))
@example((ORIGINS[0], "https://evil.com\\@acme.thebase.co.il/"))
@example((ORIGINS[0], "https://acme.thebase.co.il\\@evil.com/"))
@example((ORIGINS[2], "https://ישראל.co.il/"))
def test_no_url_takes_a_token_elsewhere(send: Any, case: tuple[Origin, str]) -> None:
    origin, url = case
    try:
        send(url, None)
    except Exception:
        return  # the library does not send it
    try:
        sent = send(url, auth_with_token(origin))
    except PlainHTTPError:
        assert origin.scheme == "https"
        return
    if not (sent.authorization or "").startswith("Bearer "):
        return
    assert place(sent.scheme, sent.host, sent.port) == place(*origin)
    for parse in PARSERS:
        try:
            parsed = parse(sent.url)
        except (ValueError, KeyError):
            continue  # this one would go nowhere
        assert parsed == place(*origin), (parse.__name__, sent.url)


@each_library
@given(origin=st.sampled_from(ORIGINS), path=st.sampled_from(["", "/", "/v2/users?limit=5#top", "?a", "#b"]))
def test_plain_url_of_the_domain_is_signed(send: Any, origin: Origin, path: str) -> None:
    """Else the property above would hold of a library that signs nothing."""
    assert send(origin.url + path, auth_with_token(origin)).authorization == "Bearer canary~token"
