"""No URL, however spelled, takes a token elsewhere: in each library, up to where it would connect to.

A call either raises what it raises without us, or `PlainHTTPError`, or goes out unsigned, or carries the
token and then goes to scheme, host and port of the domain: according to the library, which is asked where it
would connect to, and to three other parsers of URLs (the standard library, urllib3, and ada, which parses as
browsers do). The same holds of a redirect from the domain.
"""

from __future__ import annotations

import io
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
import urllib3
from hypothesis import example, given
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter

from tests.properties import looked_at
from tests.support.clients import aiohttp_auth_of, auth_for, run_asyncio
from tests.support.world import FakeConnector
from thebase_auth import PlainHTTPError
from thebase_auth._core.origin import Origin

try:
    ada_url: Any = import_module("ada_url")
except ImportError:  # no wheel for this Python: the other parsers have to do
    ada_url = None

TOKEN = "canary~token"
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


def by_urllib3(url: str) -> Place:
    parts = urllib3.util.parse_url(url)
    return place(parts.scheme or "", parts.host or "", parts.port)


def by_ada(url: str) -> Place:
    parts = ada_url.URL(url)
    return place(parts.protocol, parts.hostname, parts.port)


PARSERS: list[Callable[[str], Place]] = [by_urlsplit, by_urllib3]
if ada_url is not None:
    PARSERS.append(by_ada)


class Sent(NamedTuple):
    """A request on its way: as text, where the library would connect to, and what it carries."""

    url: str
    goes_to: Place
    authorization: str | None


class Network:
    """Responds with tokens, and redirects ``/from`` to *location*."""

    def __init__(self, location: str = "") -> None:
        self.location = location.encode("utf-8", "surrogatepass").translate(None, b"\r\n")
        self.sent: list[Sent] = []

    def respond(self, sent: Sent, path: str) -> tuple[int, bytes, bytes]:
        """Return status, ``Location`` and body."""
        self.sent.append(sent)
        if path == "/oauth/token":
            return 200, b"", b'{"access_token": "%s"}' % TOKEN.encode()
        if path == "/from" and len(self.sent) < 4:
            return 302, self.location, b""
        return 200, b"", b""


class Adapter(HTTPAdapter):
    """Asks requests' own adapter which pool it would take, and sends nothing."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        where, _ = self.build_connection_pool_key_attributes(request, True)
        if not where["host"]:
            raise requests.exceptions.InvalidURL(request.url)
        goes_to = place(where["scheme"], where["host"], where["port"])
        sent = Sent(request.url, goes_to, request.headers.get("Authorization"))
        path = self.request_url(request, {}).partition("?")[0]
        status, location, body = self.network.respond(sent, path)
        headers = {"Location": location.decode("latin-1")} if location else {}
        raw = urllib3.HTTPResponse(io.BytesIO(body), headers, status, preload_content=False)
        return self.build_response(request, raw)


def no_auth(request: Any) -> Any:
    """The plainest auth. Without any, the libraries would take the user-info of the URL for one."""
    request.headers["Authorization"] = "none"
    return request


def call_requests(network: Network, url: str, origin: Origin | None) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for scheme in ("https://", "http://"):
            session.mount(scheme, Adapter(network))
        session.auth = no_auth if origin is None else auth_for(origin.url, session=session)
        session.get(url, timeout=5)


def call_httpx(library: Any) -> Callable[[Network, str, Origin | None], None]:
    class Transport(library.BaseTransport):
        def __init__(self, network: Network) -> None:
            self.network = network

        def handle_request(self, request: Any) -> Any:
            # What HTTPTransport hands to httpcore.
            url = request.url
            goes_to = place(url.raw_scheme.decode(), url.raw_host.decode(), url.port)
            sent = Sent(str(url), goes_to, request.headers.get("Authorization"))
            status, location, body = self.network.respond(sent, url.path)
            headers = [(b"Location", location)] if location else []
            return library.Response(status, headers=headers, content=body)

    def call(network: Network, url: str, origin: Origin | None) -> None:
        auth: Any = no_auth if origin is None else auth_for(origin.url)
        with library.Client(auth=auth, transport=Transport(network), follow_redirects=True) as client:
            client.get(url)

    return call


async def no_auth_in_aiohttp(request: Any, handler: Any) -> Any:
    return await handler(no_auth(request))


def call_aiohttp(network: Network, url: str, origin: Origin | None) -> None:
    async def respond(request: Any) -> tuple[int, dict[str, str], bytes]:
        host, port, is_ssl, *_ = request.connection_key
        goes_to = place("https" if is_ssl else "http", host, port)
        header = request.headers.get("Authorization", "")
        is_of_the_url = header.startswith("Basic ") and not request.url.path.endswith("/oauth/token")
        sent = Sent(str(request.url), goes_to, None if is_of_the_url else header or None)
        status, location, body = network.respond(sent, request.url.path)
        return status, {"Location": location.decode("latin-1")} if location else {}, body

    async def call() -> None:
        auth = no_auth_in_aiohttp if origin is None else aiohttp_auth_of(auth_for(origin.url))
        async with aiohttp.ClientSession(middlewares=(auth,), connector=FakeConnector(respond)) as session:
            await session.get(url)

    run_asyncio(call)


CALLS = {
    "requests": call_requests,
    "httpx": call_httpx(httpx),
    "httpx2": call_httpx(httpx2),
    "aiohttp": call_aiohttp,
}
if not hasattr(HTTPAdapter, "build_connection_pool_key_attributes"):
    del CALLS["requests"]  # before 2.32 it cannot be asked where it would go
each_library = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


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


@st.composite
def relative(draw: st.DrawFn, origin: Origin) -> str:
    """What a ``Location`` may be besides a whole URL."""
    whole = draw(urls(origin))
    return draw(
        st.sampled_from([
            whole, whole, whole.partition(":")[2], "/to", "to", "//evil.com/to", "\\\\evil.com/to", "/\\evil.com",
            f"//{origin.netloc}\\@evil.com/", f"//evil.com\\@{origin.netloc}/", "?a", "", "/from", "///evil.com",
            f"/{whole}",
        ])
    )  # fmt: skip


CASES = st.sampled_from(ORIGINS).flatmap(lambda origin: st.tuples(st.just(origin), urls(origin)))
REDIRECTS = st.sampled_from(ORIGINS).flatmap(lambda origin: st.tuples(st.just(origin), relative(origin)))


def outcome(call: Any, network: Network, url: str, origin: Origin | None) -> type[Exception] | None:
    try:
        call(network, url, origin)
    except Exception as error:
        return type(error)
    return None


def assert_goes_to_the_domain_alone(network: Network, origin: Origin) -> None:
    ours = place(*origin)
    for sent in network.sent:
        if sent.authorization is None:
            continue
        assert sent.goes_to == ours, sent.url
        for parse in PARSERS:
            try:
                parsed = parse(sent.url)
            except (ValueError, KeyError, urllib3.exceptions.LocationParseError):
                continue  # this one would go nowhere
            assert parsed == ours, (parse.__name__, sent.url)


@each_library
@looked_at(times=5)
@given(CASES | st.tuples(st.sampled_from(ORIGINS), st.text(max_size=60)))
@example((ORIGINS[0], "https://acme.thebase.co.il:0443/@evil.com"))
@example((ORIGINS[0], "https://evil.com\\@acme.thebase.co.il/"))
@example((ORIGINS[0], "https://acme.thebase.co.il\\@evil.com/"))
@example((ORIGINS[2], "https://ישראל.co.il/"))
def test_no_url_takes_a_token_elsewhere(call: Any, case: tuple[Origin, str]) -> None:
    origin, url = case
    without_us, network = Network("/to"), Network("/to")
    expected = outcome(call, without_us, url, None)
    found = outcome(call, network, url, origin)
    assert_goes_to_the_domain_alone(network, origin)
    if found is not None and issubclass(found, PlainHTTPError):
        assert origin.scheme == "https"
        assert network.sent == []
        return
    assert found is expected
    api_calls = [sent for sent in network.sent if not sent.url.endswith("/oauth/token")]
    assert [sent.goes_to for sent in api_calls] == [sent.goes_to for sent in without_us.sent]


@each_library
@looked_at(times=3)
@given(REDIRECTS | st.tuples(st.sampled_from(ORIGINS), st.text(max_size=60)))
@example((ORIGINS[0], "//acme.thebase.co.il\\@evil.com/"))
@example((ORIGINS[0], "https://acme.thebase.co.il:443/to"))
@example((ORIGINS[0], "http://acme.thebase.co.il/to"))
@example((ORIGINS[0], "https://acme.thebase.co.il:8443/to"))
def test_no_redirect_takes_a_token_elsewhere(call: Any, case: tuple[Origin, str]) -> None:
    origin, location = case
    without_us, network = Network(location), Network(location)
    expected = outcome(call, without_us, f"{origin.url}/from", None)
    found = outcome(call, network, f"{origin.url}/from", origin)
    assert_goes_to_the_domain_alone(network, origin)
    assert {sent.authorization for sent in network.sent[1:2]} <= {f"Bearer {TOKEN}"}
    is_stopped = found is not None and issubclass(found, PlainHTTPError)  # in aiohttp
    assert found is expected or len(network.sent) == 4 or is_stopped


@each_library
@given(origin=st.sampled_from(ORIGINS), path=st.sampled_from(["", "/", "/v2/users?limit=5#top", "?a", "#b"]))
def test_plain_url_of_the_domain_is_signed(call: Any, origin: Origin, path: str) -> None:
    """Else the properties above would hold of a library that signs nothing."""
    network = Network()
    call(network, origin.url + path, origin)
    assert [sent.authorization for sent in network.sent[1:]] == [f"Bearer {TOKEN}"]
