"""A token goes to the domain alone, however a domain is pasted and however a URL is spelled."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import urllib3
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from thebase_auth._core.origin import Destination, Origin

try:
    ada_url: Any = import_module("ada_url")
except ImportError:  # no wheel for this Python: the other readers have to do
    ada_url = None

# A busy machine is no fault of what is tested.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

CANARY = "canary4f1c"
ACME = Origin("https", "acme.thebase.co.il", 443)
ACME_8443 = Origin("https", "acme.thebase.co.il", 8443)
HEBREW = Origin("https", "xn--4dbrk0ce.co.il", 443)
IPV6 = Origin("https", "[2001:db8::1]", 443)
LOOPBACK = Origin("http", "127.0.0.1", 8000)
LOOPBACK_IPV6 = Origin("http", "[::1]", 8000)

OURS, ELSEWHERE, PLAIN_HTTP = Destination.OURS, Destination.ELSEWHERE, Destination.PLAIN_HTTP


# The domain as it is pasted


@pytest.mark.parametrize(
    ("pasted", "origin"),
    [
        pytest.param("acme.thebase.co.il", ACME, id="bare host"),
        pytest.param("https://acme.thebase.co.il", ACME, id="scheme"),
        pytest.param("https://acme.thebase.co.il/", ACME, id="scheme and slash"),
        pytest.param("acme.thebase.co.il/", ACME, id="slash"),
        pytest.param("ACME.TheBase.co.IL", ACME, id="upper case"),
        pytest.param("HTTPS://ACME.thebase.co.il/", ACME, id="upper case scheme"),
        pytest.param("acme.thebase.co.il.", ACME, id="trailing dot"),
        pytest.param("acme.thebase.co.il.:8443", ACME_8443, id="trailing dot and port"),
        pytest.param("acme.thebase.co.il:8443", ACME_8443, id="port"),
        pytest.param("https://acme.thebase.co.il:8443/", ACME_8443, id="scheme, port and slash"),
        pytest.param("acme.thebase.co.il:443", ACME, id="default port"),
        pytest.param("acme.thebase.co.il:0443", ACME, id="port with a leading zero"),
        pytest.param("acme.thebase.co.il:1", Origin("https", ACME.host, 1), id="lowest port"),
        pytest.param("acme.thebase.co.il:65535", Origin("https", ACME.host, 65535), id="top port"),
        pytest.param("ישראל.co.il", HEBREW, id="Hebrew name"),
        pytest.param("https://ישראל.co.il/", HEBREW, id="Hebrew name and scheme"),
        pytest.param("xn--4dbrk0ce.co.il", HEBREW, id="Hebrew name in punycode"),
        pytest.param("XN--4DBRK0CE.co.il", HEBREW, id="upper case punycode"),
        pytest.param("ישראל。co。il", HEBREW, id="ideographic full stops"),
        pytest.param("ａｃｍｅ.thebase.co.il", ACME, id="fullwidth letters"),
        pytest.param("  acme.thebase.co.il \t\n", ACME, id="white space around it"),
        pytest.param("\N{NO-BREAK SPACE}acme.thebase.co.il", ACME, id="no-break space"),
        pytest.param("\u200facme.thebase.co.il\u200e", ACME, id="direction marks"),
        pytest.param("\u202bacme.thebase.co.il\u202c", ACME, id="embedding marks"),
        pytest.param("\u2067https://acme.thebase.co.il/\u2069", ACME, id="isolates"),
        pytest.param("\ufeffacme.thebase.co.il", ACME, id="byte order mark"),
        pytest.param("\u200e \u200facme.thebase.co.il\u200f \n", ACME, id="marks and blanks"),
        pytest.param("[2001:db8::1]", IPV6, id="IPv6"),
        pytest.param("[2001:DB8:0:0::0001]", IPV6, id="IPv6 at length"),
        pytest.param("https://[2001:db8::1]:443/", IPV6, id="IPv6 and port"),
        pytest.param("203.0.113.7", Origin("https", "203.0.113.7", 443), id="IPv4"),
        pytest.param("my_host", Origin("https", "my_host", 443), id="underscore"),
        pytest.param("intranet", Origin("https", "intranet", 443), id="single label"),
        pytest.param("localhost", Origin("https", "localhost", 443), id="loopback over https"),
        pytest.param("http://127.0.0.1:8000", LOOPBACK, id="loopback over http"),
        pytest.param("HTTP://127.0.0.1:8000/", LOOPBACK, id="loopback over upper case http"),
        pytest.param("http://127.8.9.1", Origin("http", "127.8.9.1", 80), id="all of 127/8"),
        pytest.param("http://localhost", Origin("http", "localhost", 80), id="localhost over http"),
        pytest.param("http://LocalHost.:80/", Origin("http", "localhost", 80), id="localhost."),
        pytest.param("http://[::1]:8000", LOOPBACK_IPV6, id="IPv6 loopback over http"),
        pytest.param("http://[0:0::1]:8000", LOOPBACK_IPV6, id="IPv6 loopback at length"),
        pytest.param(f"{'a' * 63}.co.il", Origin("https", f"{'a' * 63}.co.il", 443), id="63"),
    ],
)
def test_a_domain_is_read_as_people_paste_it(pasted: str, origin: Origin) -> None:
    assert Origin.of_domain(pasted) == origin


@pytest.mark.parametrize(
    ("pasted", "complaint"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param(" \t\n", "is empty", id="blanks"),
        pytest.param("\u200f\u200e \ufeff", "is empty", id="invisible characters alone"),
        pytest.param(None, "must be text, not NoneType", id="None"),
        pytest.param(CANARY.encode(), "must be text, not bytes", id="bytes"),
        pytest.param(443, "must be text, not int", id="int"),
        pytest.param(f"{CANARY}.co.il/v2", "a path", id="path"),
        pytest.param(f"https://{CANARY}.co.il/v2/users", "a path", id="scheme and path"),
        pytest.param(f"https://{CANARY}.co.il//", "a path", id="two slashes"),
        pytest.param(f"//{CANARY}.co.il", "a path", id="no scheme but its slashes"),
        pytest.param(f"https:/{CANARY}.co.il", "a path", id="one slash of two"),
        pytest.param(f"{CANARY}.co.il\\v2", "a path", id="backslash"),
        pytest.param(f"https:\\\\{CANARY}.co.il", "a path", id="backslashes"),
        pytest.param(f"{CANARY}.co.il?a=b", "a query", id="query"),
        pytest.param(f"https://{CANARY}.co.il/?a=b", "a query", id="slash and query"),
        pytest.param(f"{CANARY}.co.il?", "a query", id="empty query"),
        pytest.param(f"{CANARY}.co.il#top", "a fragment", id="fragment"),
        pytest.param(f"{CANARY}.co.il/#", "a fragment", id="slash and empty fragment"),
        pytest.param(f"{CANARY}:pw@acme.co.il", "user-info", id="user and password"),
        pytest.param(f"https://{CANARY}@acme.co.il/", "user-info", id="user"),
        pytest.param("@acme.thebase.co.il", "user-info", id="empty user"),
        pytest.param(f"ftp://{CANARY}.co.il", "a scheme other than https", id="ftp"),
        pytest.param(f"httpss://{CANARY}.co.il", "a scheme other than https", id="httpss"),
        pytest.param(f"ws://{CANARY}.co.il", "a scheme other than https", id="ws"),
        pytest.param(f"://{CANARY}.co.il", "a scheme other than https", id="empty scheme"),
        pytest.param(f"https ://{CANARY}.co.il", "a scheme other than https", id="blank"),
        pytest.param(f"https://https://{CANARY}.il", "a scheme other than https", id="twice"),
        pytest.param(f"http://{CANARY}.co.il", "loopback", id="plain http"),
        pytest.param(f"HTTP://{CANARY}.co.il:443/", "loopback", id="plain http, upper case"),
        pytest.param(f"http://localhost.{CANARY}.co.il", "loopback", id="localhost as a prefix"),
        pytest.param(f"http://{CANARY}.localhost", "loopback", id="localhost as a suffix"),
        pytest.param("http://127.0.0.1.nip.io", "loopback", id="127.0.0.1 as a prefix"),
        pytest.param("http://10.0.0.1", "loopback", id="private address over http"),
        pytest.param("http://0.0.0.0", "loopback", id="unspecified address over http"),
        pytest.param("http://[2001:db8::1]", "loopback", id="IPv6 over http"),
        pytest.param(f"{CANARY}.co.il:0", "a port", id="port 0"),
        pytest.param(f"{CANARY}.co.il:65536", "a port", id="port 65536"),
        pytest.param(f"{CANARY}.co.il:000443", "a port", id="six digits"),
        pytest.param(f"{CANARY}.co.il:{'9' * 5000}", "a port", id="5,000 digits"),
        pytest.param(f"{CANARY}.co.il:https", "a port", id="port by name"),
        pytest.param(f"{CANARY}.co.il:", "a port", id="empty port"),
        pytest.param(f"https://{CANARY}.co.il:/", "a port", id="empty port and slash"),
        pytest.param(f"{CANARY}.co.il:-1", "a port", id="negative port"),
        pytest.param(f"{CANARY}.co.il:+443", "a port", id="port with a sign"),
        pytest.param(f"{CANARY}.co.il:44 3", "a port", id="port with a blank"),
        pytest.param(f"{CANARY}.co.il:4_43", "a port", id="port with an underscore"),
        pytest.param(f"{CANARY}.co.il:٤٤٣", "a port", id="port in Arabic digits"),
        pytest.param(f"{CANARY}.co.il:²", "a port", id="superscript port"),
        pytest.param(f"https:{CANARY}.co.il", "a port", id="scheme without slashes"),
        pytest.param("https://", "host name", id="scheme alone"),
        pytest.param("/", "host name", id="slash alone"),
        pytest.param(".", "host name", id="dot alone"),
        pytest.param(":443", "host name", id="port alone"),
        pytest.param(f"{CANARY}..co.il", "host name", id="empty label"),
        pytest.param(f".{CANARY}.co.il", "host name", id="leading dot"),
        pytest.param(f"{CANARY}.co.il..", "host name", id="two trailing dots"),
        pytest.param(f"-{CANARY}.co.il", "host name", id="leading hyphen"),
        pytest.param(f"{CANARY}-.co.il", "host name", id="trailing hyphen"),
        pytest.param(f"{'a' * 64}.co.il", "host name", id="64 characters in a label"),
        pytest.param(".".join(["a" * 63] * 4), "host name", id="255 characters"),
        pytest.param(f"{CANARY} .co.il", "host name", id="blank inside"),
        pytest.param(f"{CANARY}\n.co.il", "host name", id="newline inside"),
        pytest.param(f"{CANARY}%2eco.il", "host name", id="percent sign"),
        pytest.param(f"{CANARY}.co.il:443:443", "host name", id="two ports"),
        pytest.param(f"*.{CANARY}.co.il", "host name", id="wildcard"),
        pytest.param(f"{CANARY},acme.co.il", "host name", id="two hosts"),
        pytest.param("::1", "host name", id="IPv6 without brackets"),
        pytest.param("http://127.1", "IPv4", id="loopback in shorthand"),
        pytest.param("2130706433", "IPv4", id="address in one number"),
        pytest.param("0127.0.0.1", "IPv4", id="address with an octal part"),
        pytest.param("203.0.113.256", "IPv4", id="address with too large a part"),
        pytest.param("203.0.113", "IPv4", id="address with three parts"),
        pytest.param("acme.443", "IPv4", id="number as the last label"),
        pytest.param(f"{CANARY}\u200f.co.il", "international", id="direction mark inside"),
        pytest.param(f"{CANARY}\u200d.co.il", "international", id="joiner inside"),
        pytest.param(f"{CANARY}.co／il", "international", id="fullwidth slash"),
        pytest.param(f"{CANARY}\ud800.co.il", "international", id="lone surrogate"),
        pytest.param(f"{CANARY}☃\u0301.co.il", "international", id="symbol"),
        pytest.param("א" * 300, "international", id="too long for punycode"),
        pytest.param("אa1.\u0301", "international", id="combining mark first"),
        pytest.param("[", "IPv6", id="bracket alone"),
        pytest.param("[]", "IPv6", id="empty brackets"),
        pytest.param(f"[{CANARY}]", "IPv6", id="name in brackets"),
        pytest.param("[127.0.0.1]", "IPv6", id="IPv4 in brackets"),
        pytest.param("[::1::]", "IPv6", id="two gaps"),
        pytest.param("[::1]x:443", "IPv6", id="text behind the brackets"),
        pytest.param("[2001:db8::1", "IPv6", id="no closing bracket"),
        pytest.param("[2001:db8::15:443", "IPv6", id="no closing bracket before a port"),
        pytest.param("[::1x:443", "IPv6", id="letter instead of a bracket"),
        pytest.param("[fe80::1%eth0]", "IPv6", id="zone"),
        pytest.param(f"[fe80::1%\r\nX-{CANARY}: 1]", "IPv6", id="header in a zone"),
        pytest.param("[::1]:", "a port", id="IPv6 and empty port"),
        pytest.param("[::1]:65536", "a port", id="IPv6 and port 65536"),
    ],
)
def test_a_domain_that_cannot_be_right_is_refused_and_not_repeated(pasted: object, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        Origin.of_domain(pasted)

    assert type(caught.value) is ValueError
    assert str(caught.value).startswith("domain ")
    assert complaint in str(caught.value).partition(";")[0]
    assert "Settings, Webhooks/API" in str(caught.value)
    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@unhurried
@given(st.text(max_size=40), st.integers(0, 40))
def test_any_text_is_a_domain_or_a_value_error_that_does_not_repeat_it(text: str, at: int) -> None:
    pasted = text[:at] + CANARY + text[at:]
    try:
        origin = Origin.of_domain(pasted)
    except ValueError as error:
        assert type(error) is ValueError
        assert CANARY not in repr(error)
    else:
        assert origin.host.isascii()
        assert origin == Origin.of_domain(origin.url)


PIECES = st.sampled_from([
    "acme", "CO", "il", "ישראל", "straße", "a", "0", "-", "_", ".", "。", ":", ":443", ":0443", "[",
    "]", "[::1]", "[2001:db8::1", "[fe80::1%", "http://", "https://", "127.0.0.1", "/", " ",
    "\u200f",
])  # fmt: skip


@unhurried
@given(st.lists(PIECES, max_size=6).map("".join))
@example("[fe80::1%eth0]")
@example("[::1]:443")
@example("http://127.0.0.1:80")
def test_an_accepted_domain_is_recognised_in_its_own_urls(pasted: str) -> None:
    try:
        origin = Origin.of_domain(pasted)
    except ValueError:
        return
    assert origin.destination(f"{origin.url}/v2/users") is OURS
    assert origin == Origin.of_domain(origin.url)
    assert by_urllib3(origin.url) == normal(*origin)


@pytest.mark.parametrize(
    ("origin", "netloc", "url"),
    [
        (ACME, "acme.thebase.co.il", "https://acme.thebase.co.il"),
        (ACME_8443, "acme.thebase.co.il:8443", "https://acme.thebase.co.il:8443"),
        (IPV6, "[2001:db8::1]", "https://[2001:db8::1]"),
        (Origin("http", "localhost", 80), "localhost", "http://localhost"),
        (Origin("http", "localhost", 443), "localhost:443", "http://localhost:443"),
        (Origin("https", "localhost", 80), "localhost:80", "https://localhost:80"),
    ],
)
def test_the_port_is_named_where_it_is_not_the_default(origin: Origin, netloc: str, url: str) -> None:
    assert (origin.netloc, origin.url) == (netloc, url)


# What a URL is to the domain


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.thebase.co.il",
        "https://acme.thebase.co.il/",
        "https://acme.thebase.co.il/v2/users?limit=5#top",
        "https://acme.thebase.co.il?limit=5",
        "https://acme.thebase.co.il#top",
        "https://acme.thebase.co.il:443/v2/users",
        "https://acme.thebase.co.il:00443/v2/users",
        "https://acme.thebase.co.il:/v2/users",
        "HTTPS://ACME.TheBase.co.il/v2/users",
        "https://acme.thebase.co.il/@evil.com",
        "https://acme.thebase.co.il/\\evil.com",
        "https://acme.thebase.co.il/https://evil.com/",
        "https://acme.thebase.co.il?@evil.com",
        "https://acme.thebase.co.il#@evil.com",
        "https://user:password@acme.thebase.co.il/v2/users",
        "https://evil.com@acme.thebase.co.il/",
        "https://evil.com:443@acme.thebase.co.il:443/",
        "https://@acme.thebase.co.il/",
        "https://user@acme.thebase.co.il/@evil.com",
    ],
)
def test_a_url_of_the_domain_is_ours(url: str) -> None:
    assert ACME.destination(url) is OURS


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="empty"),
        pytest.param("/v2/users", id="path"),
        pytest.param("//acme.thebase.co.il/v2", id="no scheme"),
        pytest.param("acme.thebase.co.il/v2", id="no scheme and no slashes"),
        pytest.param("https:acme.thebase.co.il/v2", id="no slashes"),
        pytest.param("https:/acme.thebase.co.il/v2", id="one slash"),
        pytest.param("https:///acme.thebase.co.il/v2", id="three slashes"),
        pytest.param("https:\\\\acme.thebase.co.il/v2", id="backslashes"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///v2", id="empty host"),
        pytest.param("ftp://acme.thebase.co.il/", id="other scheme"),
        pytest.param("wss://acme.thebase.co.il/", id="websocket"),
        pytest.param("httpss://acme.thebase.co.il/", id="longer scheme"),
        pytest.param("xhttps://acme.thebase.co.il/", id="longer scheme in front"),
        pytest.param(" https://acme.thebase.co.il/", id="blank before it"),
        pytest.param("https ://acme.thebase.co.il/", id="blank in the scheme"),
        pytest.param("https://acme.thebase.co.il /", id="blank behind the host"),
        pytest.param("https://evil.com/", id="other host"),
        pytest.param("https://thebase.co.il/", id="parent"),
        pytest.param("https://x.acme.thebase.co.il/", id="child"),
        pytest.param("https://evilacme.thebase.co.il/", id="host as a suffix"),
        pytest.param("https://acme.thebase.co.il.evil.com/", id="host as a prefix"),
        pytest.param("https://acme.thebase.co.ilx/", id="host as a prefix of a label"),
        pytest.param("https://acme.thebase.co.il./", id="trailing dot"),
        pytest.param("https://.acme.thebase.co.il/", id="leading dot"),
        pytest.param("https://acme-thebase.co.il/", id="hyphen for a dot"),
        pytest.param("https://acme.thebase.co.il:8443/", id="other port"),
        pytest.param("https://acme.thebase.co.il:80/", id="port of http"),
        pytest.param("https://acme.thebase.co.il:4430/", id="port as a prefix"),
        pytest.param("https://acme.thebase.co.il:0/", id="port 0"),
        pytest.param("https://acme.thebase.co.il:65979/", id="port 443 + 65536"),
        pytest.param("https://acme.thebase.co.il:000443/", id="six digits"),
        pytest.param("https://acme.thebase.co.il:٤٤٣/", id="port in Arabic digits"),
        pytest.param("https://acme.thebase.co.il:+443/", id="port with a sign"),
        pytest.param("https://acme.thebase.co.il:443:443/", id="two ports"),
        pytest.param("https://acme.thebase.co.il:443@evil.com/", id="host and port as user"),
        pytest.param("https://acme.thebase.co.il@evil.com/", id="host as user"),
        pytest.param("https://a@b@acme.thebase.co.il/", id="two users"),
        pytest.param("https://evil.com/@acme.thebase.co.il/", id="path before user"),
        pytest.param("https://evil.com?@acme.thebase.co.il/", id="query before user"),
        pytest.param("https://evil.com#@acme.thebase.co.il/", id="fragment before user"),
        pytest.param("https://evil.com @acme.thebase.co.il/", id="blank before user"),
        pytest.param("https://evil.com\t@acme.thebase.co.il/", id="tab before user"),
        pytest.param("https://evil.com\n@acme.thebase.co.il/", id="newline before user"),
        pytest.param("https://acme.thebase.co.il\\@evil.com/", id="backslash and user"),
        pytest.param("https://evil.com\\@acme.thebase.co.il/", id="backslash before user"),
        pytest.param("https://acme.thebase.co.il\\.evil.com/", id="backslash"),
        pytest.param("https://acme.thebase.co.il\t/", id="tab behind the host"),
        pytest.param("https://acme.the\tbase.co.il/", id="tab in the host"),
        pytest.param("https://acme.the\nbase.co.il/", id="newline in the host"),
        pytest.param("https://acme.thebase.co.il\n", id="newline at the end"),
        pytest.param("https://acme.thebase.co.il\r\n.evil.com/", id="line break"),
        pytest.param("https://acme.thebase.co.il\x00.evil.com/", id="null"),
        pytest.param("ht\ttps://acme.thebase.co.il/", id="tab in the scheme"),
        pytest.param("https:/\t/acme.thebase.co.il/", id="tab in the slashes"),
        pytest.param("https://acme%2ethebase.co.il/", id="escaped dot"),
        pytest.param("https://%61cme.thebase.co.il/", id="escaped letter"),
        pytest.param("https://acme.thebase.co.il%2f@evil.com/", id="escaped slash"),
        pytest.param("https://acme.thebase.co.il%00.evil.com/", id="escaped null"),
        pytest.param("https://acme。thebase。co。il/", id="ideographic full stops"),
        pytest.param("https://acme．thebase.co.il/", id="fullwidth full stop"),
        pytest.param("https://ａcme.thebase.co.il/", id="fullwidth letter"),
        pytest.param("https://аcme.thebase.co.il/", id="Cyrillic letter"),
        pytest.param("https://acme.thebase.co.ıl/", id="dotless i"),
        pytest.param("https://acme.thebase.co.İl/", id="dotted I"),
        pytest.param("https://acme.thebaſe.co.il/", id="long s"),
        pytest.param("httpſ://acme.thebase.co.il/", id="long s in the scheme"),
        pytest.param("https：//acme.thebase.co.il/", id="fullwidth colon"),
        pytest.param("https://acme.thebase.co.il／v2", id="fullwidth slash"),
        pytest.param("https://acme.thebase.co.il？@evil.com", id="fullwidth question mark"),
        pytest.param("https://acme.thebase.co.il;x/", id="semicolon"),
        pytest.param("https://acme.thebase.co.il,evil.com/", id="comma"),
        pytest.param("https://acme.thebase.co.il&evil.com/", id="ampersand"),
        pytest.param("https://[acme.thebase.co.il]/", id="name in brackets"),
        pytest.param("https://acme.thebase.co.il[::1]/", id="brackets behind the host"),
        pytest.param("https://[::1]acme.thebase.co.il/", id="brackets before the host"),
        pytest.param("http://evil.com/", id="other host over http"),
    ],
)
def test_any_other_spelling_is_elsewhere(url: str) -> None:
    assert ACME.destination(url) is ELSEWHERE


@pytest.mark.parametrize(
    ("origin", "url", "destination"),
    [
        (ACME_8443, "https://acme.thebase.co.il:8443/", OURS),
        (ACME_8443, "https://acme.thebase.co.il:08443/", OURS),
        (ACME_8443, "https://acme.thebase.co.il/", ELSEWHERE),
        (ACME_8443, "https://acme.thebase.co.il:443/", ELSEWHERE),
        (ACME_8443, "https://acme.thebase.co.il:84430/", ELSEWHERE),
        (HEBREW, "https://xn--4dbrk0ce.co.il/v2", OURS),
        (HEBREW, "https://XN--4dbrk0ce.co.il/v2", OURS),
        (HEBREW, "https://ישראל.co.il/v2", ELSEWHERE),
        (HEBREW, "https://xn--4dbr\N{KELVIN SIGN}0ce.co.il/v2", ELSEWHERE),
        (IPV6, "https://[2001:db8::1]/", OURS),
        (IPV6, "https://[2001:DB8:0:0:0:0:0:1]:443/", OURS),
        (IPV6, "https://[2001:db8::0.0.0.1]/", OURS),
        (IPV6, "https://[2001:db8::2]/", ELSEWHERE),
        (IPV6, "https://[2001:db8::1%25eth0]/", ELSEWHERE),
        (IPV6, "https://[2001:db8::1].evil.com/", ELSEWHERE),
        (IPV6, "https://[2001:db8::1]@evil.com/", ELSEWHERE),
        (IPV6, "https://[2001:db8::1/", ELSEWHERE),
        (IPV6, "https://[2001:db8::1]]/", ELSEWHERE),
        (IPV6, "https://2001:db8::1/", ELSEWHERE),
        (IPV6, "https://[]/", ELSEWHERE),
        (IPV6, "https://[:::1]/", ELSEWHERE),
        (LOOPBACK, "http://127.0.0.1:8000/v2", OURS),
        (LOOPBACK, "https://127.0.0.1:8000/v2", ELSEWHERE),
        (LOOPBACK, "http://127.0.0.1/", ELSEWHERE),
        (LOOPBACK, "http://127.0.0.1:8001/", ELSEWHERE),
        (LOOPBACK, "http://127.1:8000/", ELSEWHERE),
        (LOOPBACK, "http://2130706433:8000/", ELSEWHERE),
        (LOOPBACK, "http://localhost:8000/", ELSEWHERE),
        (LOOPBACK_IPV6, "http://[::1]:8000/", OURS),
        (LOOPBACK_IPV6, "http://[0:0:0:0:0:0:0:1]:8000/", OURS),
    ],
)
def test_scheme_host_and_port_must_be_those_of_the_domain(
    origin: Origin, url: str, destination: Destination
) -> None:
    assert origin.destination(url) is destination


@pytest.mark.parametrize(
    ("origin", "url", "destination"),
    [
        (ACME, "http://acme.thebase.co.il/v2", PLAIN_HTTP),
        (ACME, "HTTP://ACME.thebase.co.il", PLAIN_HTTP),
        (ACME, "http://acme.thebase.co.il:80/", PLAIN_HTTP),
        (ACME, "http://acme.thebase.co.il:443/", PLAIN_HTTP),
        (ACME, "http://acme.thebase.co.il:8080/", PLAIN_HTTP),
        (ACME, "http://user@acme.thebase.co.il/", PLAIN_HTTP),
        (ACME_8443, "http://acme.thebase.co.il/", PLAIN_HTTP),
        (ACME_8443, "http://acme.thebase.co.il:8443/", PLAIN_HTTP),
        (IPV6, "http://[2001:db8:0::1]/", PLAIN_HTTP),
        (HEBREW, "http://xn--4dbrk0ce.co.il/", PLAIN_HTTP),
        (ACME, "http://x.acme.thebase.co.il/", ELSEWHERE),
        (Origin("https", "localhost", 8443), "http://localhost:8443/", PLAIN_HTTP),
        (Origin("https", "localhost", 8443), "http://localhost:3000/", ELSEWHERE),
        (Origin("https", "[::1]", 8443), "http://[::1]:8443/", PLAIN_HTTP),
        (Origin("https", "[::1]", 8443), "http://[::1]/", ELSEWHERE),
    ],
)
def test_plain_http_to_the_domain_is_distinguished_from_another_place(
    origin: Origin, url: str, destination: Destination
) -> None:
    assert origin.destination(url) is destination


# The rule behind the tables: what we take for ours, every reader of the URL takes for ours.

ORIGINS = [ACME, ACME_8443, HEBREW, IPV6, LOOPBACK, LOOPBACK_IPV6]
HOSTS = st.sampled_from([
    "acme.thebase.co.il", "ACME.thebase.co.il", "acme.thebase.co.il.", "xn--4dbrk0ce.co.il",
    "[2001:db8::1]", "[2001:DB8:0::1]", "127.0.0.1", "[::1]", "evil.com", "acme。thebase.co.il", "",
])  # fmt: skip
JUNK = st.text(st.sampled_from("@:/\\?#%.[]\t\n\r\x00 ;,&=+-_a0٤ſ\u200f"), max_size=3)
PORTS = st.sampled_from(["", ":", ":443", ":0443", ":8443", ":8000", ":80", ":000443", ":443x"])
URLS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["https", "HTTPS", "http", "httpſ", "ftp", ""]),
        st.sampled_from(["://", ":", ":/", ":///", ":\\\\", "//", ":/\t/"]),
        st.one_of(JUNK, st.sampled_from(["", "u:p@", "evil.com@", "evil.com\\@", "evil.com／@"])),
        HOSTS,
        st.one_of(st.just(""), JUNK, st.just("@evil.com"), st.just("\\@evil.com")),
        PORTS,
        st.one_of(st.just(""), JUNK, st.just("/v2/users"), st.just("@evil.com/")),
        st.one_of(st.just(""), HOSTS),
    ),
)

Reading = tuple[str, str, int]


def normal(scheme: str, host: str | None, port: int | None) -> Reading:
    host = (host or "").strip("[]").lower()
    if ":" in host:
        host = str(ipaddress.IPv6Address(host))
    return scheme.lower(), host, port if port is not None else {"https": 443, "http": 80}[scheme]


def by_urlsplit(url: str) -> Reading:
    parts = urlsplit(url)
    return normal(parts.scheme, parts.hostname, parts.port)


def by_httpx(url: str) -> Reading:
    parsed = httpx.URL(url)
    return normal(parsed.scheme, parsed.raw_host.decode("ascii"), parsed.port)


def by_urllib3(url: str) -> Reading:
    parsed = urllib3.util.parse_url(url)
    return normal(parsed.scheme or "", parsed.host, parsed.port)


def by_ada(url: str) -> Reading:
    parsed = ada_url.URL(url)  # as browsers read it
    scheme = parsed.protocol.removesuffix(":")
    return normal(scheme, parsed.hostname, int(parsed.port) if parsed.port else None)


@unhurried
@given(st.one_of(URLS, st.text(max_size=60)), st.sampled_from(ORIGINS))
@example("https://acme.thebase.co.il:0443/@evil.com", ACME)
@example("https://acme.thebase.co.il:?@evil.com", ACME)
@example("https://[2001:DB8:0::1]\\@evil.com", IPV6)
@example("http://[::1]:8000#@evil.com", LOOPBACK_IPV6)
def test_what_we_take_for_ours_every_reader_of_urls_takes_for_ours(url: str, origin: Origin) -> None:
    if origin.destination(url) is not OURS:
        return
    ours = normal(*origin)
    readers: list[tuple[Callable[[str], Reading], tuple[type[Exception], ...]]] = [
        (by_urlsplit, (ValueError,)),
        (by_httpx, (httpx.InvalidURL,)),
        (by_urllib3, (urllib3.exceptions.LocationParseError,)),
    ]
    if ada_url is not None:
        readers.append((by_ada, (ValueError,)))
    for read, its_refusals in readers:
        try:
            reading = read(url)
        except its_refusals:
            continue
        assert reading == ours, read.__name__


@unhurried
@given(URLS, st.sampled_from(ORIGINS))
def test_no_url_is_too_odd_to_be_classified(url: str, origin: Origin) -> None:
    assert origin.destination(url) in Destination
