"""A token goes to the domain alone, however a domain is pasted and however a URL is spelled.

More spellings are in tests/properties/test_destinations.py, which asks other parsers where a URL goes.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thebase_auth._core.errors import PlainHTTPError
from thebase_auth._core.origin import Origin

CANARY = "canary4f1c"
ACME = Origin("https", "acme.thebase.co.il", 443)
ACME_8443 = Origin("https", "acme.thebase.co.il", 8443)
HEBREW = Origin("https", "xn--4dbrk0ce.co.il", 443)
IPV6 = Origin("https", "[2001:db8::1]", 443)
LOOPBACK = Origin("http", "127.0.0.1", 8000)
LOOPBACK_TLS = Origin("https", "localhost", 8443)


@pytest.mark.parametrize(
    ("pasted", "origin"),
    [
        ("acme.thebase.co.il", ACME),
        ("HTTPS://ACME.TheBase.co.IL.:0443/", ACME),
        ("https://acme.thebase.co.il:8443/", ACME_8443),
        ("ישראל。co。il", HEBREW),
        ("BÜCHER.example", Origin("https", "xn--bcher-kva.example", 443)),
        (" \u200facme.thebase.co.il\N{NO-BREAK SPACE}\u200e\n", ACME),
        ("https://[2001:DB8:0:0::0001]:443/", IPV6),
        ("203.0.113.7", Origin("https", "203.0.113.7", 443)),
        ("http://127.0.0.1:8000", LOOPBACK),
        ("http://LocalHost.:80/", Origin("http", "localhost", 80)),
    ],
)
def test_domain_is_read_as_people_paste_it(pasted: str, origin: Origin) -> None:
    assert Origin.of_domain(pasted) == origin
    assert origin.must_sign(Origin.of_url(f"{origin.url}/v2/users"))


@pytest.mark.parametrize(
    ("pasted", "complaint"),
    [
        (" \u200f\n", "is empty"),
        (CANARY.encode(), "must be text, not bytes"),
        (f"https://{CANARY}.il//", "has a path"),
        (f"{CANARY}.il?a=b", "has a path, a query"),
        (f"{CANARY}:pw@acme.il", "has a path, a query, a fragment or user-info"),
        (f"ftp://{CANARY}.il", "has a scheme other than https"),
        (f"HTTP://{CANARY}.il", "is given with http://"),
        ("http://127.0.0.1.nip.io", "is given with http://"),
        (f"{CANARY}.il:0", "has a port"),
        (f"{CANARY}.il:٤٤٣", "has a port"),
        ("https://", "is not a valid host name"),
        (f"{CANARY}..il", "is not a valid host name"),
        ("2130706433", "is not a valid host name, IPv4 address"),
        ("[fe80::1%eth0]", "is not a valid host name, IPv4 address or IPv6 address"),
        (f"{CANARY}.co／il", "is not a valid international host name"),
    ],
)
def test_invalid_domain_is_an_error_that_does_not_repeat_it(pasted: object, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        Origin.of_domain(pasted)

    assert str(caught.value).startswith(f"domain {complaint}")
    assert "Settings, Webhooks/API" in str(caught.value)
    assert CANARY not in repr(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.text(max_size=40), st.integers(0, 40))
def test_any_text_is_a_domain_or_an_error_that_does_not_repeat_it(text: str, at: int) -> None:
    try:
        origin = Origin.of_domain(text[:at] + CANARY + text[at:])
    except ValueError as error:
        assert CANARY not in repr(error)
    else:
        assert origin == Origin.of_domain(origin.url)
        assert origin == Origin.of_url(f"{origin.url}/v2/users")


@pytest.mark.parametrize(
    ("origin", "netloc", "url"),
    [
        (ACME_8443, "acme.thebase.co.il:8443", "https://acme.thebase.co.il:8443"),
        (Origin("http", "localhost", 443), "localhost:443", "http://localhost:443"),
    ],
)
def test_port_is_named_unless_it_is_the_default(origin: Origin, netloc: str, url: str) -> None:
    assert (origin.netloc, origin.url) == (netloc, url)


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        (ACME, "https://acme.thebase.co.il"),
        (ACME, "https://evil.com:443@acme.thebase.co.il/"),
        (ACME, "HTTPS://ACME.TheBase.co.il:00443/"),
        (IPV6, "https://[2001:DB8:0:0:0:0:0.0.0.1]:443/"),
    ],
)
def test_url_of_the_domain_is_signed(origin: Origin, url: str) -> None:
    assert origin.must_sign(Origin.of_url(url))


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        (ACME, ""),
        (ACME, "ftp://acme.thebase.co.il/"),
        (ACME, "https://x.acme.thebase.co.il/"),
        (ACME, "https://acme.thebase.co.il.evil.com/"),
        (ACME, "https://acme.thebase.co.il:8443/"),
        (ACME, "https://acme.thebase.co.il@evil.com/"),
        (ACME, "https://evil.com\\@acme.thebase.co.il/"),
        (ACME, "https://acme.thebase.co.il\\@evil.com/"),
        (ACME, "https://acme.thebase.co.il\t/"),
        (ACME, "https://acme%2ethebase.co.il/"),
        (ACME, "https://acme.thebaſe.co.il/"),
        (IPV6, "https://[2001:db8::1%25eth0]/"),
        (LOOPBACK, "https://127.0.0.1:8000/"),
        (LOOPBACK_TLS, "http://localhost:3000/"),
    ],
)
def test_any_other_url_is_not_signed(origin: Origin, url: str) -> None:
    assert not origin.must_sign(Origin.of_url(url))


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        (ACME, "HTTP://ACME.thebase.co.il"),
        (ACME, "http://user@acme.thebase.co.il:8080/"),
        (LOOPBACK_TLS, "http://localhost:8443/"),
    ],
)
def test_plain_http_to_the_domain_is_an_error(origin: Origin, url: str) -> None:
    with pytest.raises(PlainHTTPError, match=f"to {origin.netloc} over http:// was not sent") as caught:
        origin.must_sign(Origin.of_url(url))

    assert caught.value.domain == origin.netloc
