"""The command `check`: which setting is to blame, and for what."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.command_line import Run
from tests.support.databases import free_port
from tests.support.servers import Server
from thebase_auth.testing import Sandbox


def test_check_says_who_where_and_for_how_long(run: Run, thebase: Sandbox) -> None:
    code, out, err = run("check")
    host = thebase.domain.removeprefix("http://")
    assert (code, err) == (0, "")
    assert re.sub(r"\d\d:\d\d:\d\d", "TIME", out) == (
        f"domain     {host}, asked at {thebase.domain}/oauth/token\n"
        f"client id  {thebase.client_id}\n"
        "token      granted; good for 3600 seconds, until TIME\n"
    )
    assert thebase.token_requests == 1


def test_check_asks_whatever_is_kept(run: Run, thebase: Sandbox) -> None:
    run("token")
    assert run("check")[0] == 0
    assert thebase.token_requests == 2


def test_check_says_when_the_server_does_not_say_for_how_long(run: Run, thebase: Sandbox) -> None:
    thebase.expires_in = None
    assert "granted; the server does not say for how long\n" in run("check")[1]


def test_check_blames_id_or_secret_where_a_thebase_refuses_them(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", "mistyped..")
    code, out, err = run("check")
    assert (code, out) == (1, "")
    assert err.startswith("thebase-auth check: wrong client id or client secret: the token endpoint")
    assert err.count("\n") == 1
    assert "dots" not in err
    assert "mistyped" not in err


def test_check_says_so_if_id_and_secret_are_swapped(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As alike as those that a TheBase makes.
    thebase.client.client_id, thebase.client.client_secret = (
        "HsXI8gp1B5F2d5EDnGy3Tw..",
        "LvTJmqtlvEKyuqvz1brRMg..",
    )
    monkeypatch.setenv("THEBASE_CLIENT_ID", thebase.client_secret)
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", thebase.client_id)
    host = thebase.domain.removeprefix("http://")
    told = f"client id and client secret are swapped: {host} takes them the other way round"
    assert run("check") == (1, "", f"thebase-auth check: {told}\n")
    assert [one.status for one in thebase.received] == [401, 200]
    code, _, err = run("token", "--no-cache")  # checks nothing, and asks once
    assert (code, thebase.token_requests) == (1, 3)
    assert "are swapped" not in err


@pytest.mark.parametrize(
    ("client_id", "secret", "status", "body", "requests"),
    [
        ("mistyped", "wrong..", 401, '{"error": "invalid_client"}', 2),
        ("mistyped", "with:colon", 401, '{"error": "invalid_client"}', 1),  # an id cannot have one
        ("mistyped", "wrong..", 401, "<h1>", 1),  # whoever this is gets the secret in one place alone
        ("mistyped", "wrong..", 503, "{}", 1),
        ("mistyped", "wrong..", 400, '{"error": "invalid_request"}', 1),
    ],
)
def test_check_swaps_id_and_secret_where_a_thebase_refuses_them_and_nowhere_else(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, client_id: str, secret: str, status: int,
    body: str, requests: int,
) -> None:  # fmt: skip
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", secret)
    content_type = "application/json" if body.startswith("{") else "text/html"
    thebase.answer_next("/oauth/token", status, body, content_type)
    code, _, err = run("check", "--client-id", client_id)
    assert (code, thebase.token_requests) == (1, requests)
    assert "are swapped" not in err
    assert secret not in err


@pytest.mark.parametrize(
    ("client_id", "secret", "told"),
    [
        ("abc", "def..", " The client id does not end in two dots, as those that TheBase makes do.\n"),
        ("abc..", "def.", " The client secret does not end in two dots, as those that TheBase makes do.\n"),
        ("abc..", '"def.."', " The client secret is in quotation marks; were they copied along?\n"),
        ("'abc..'", "def..", " The client id is in quotation marks; were they copied along?\n"),
    ],
)
def test_a_slip_of_copying_is_pointed_out(
    run: Run, monkeypatch: pytest.MonkeyPatch, client_id: str, secret: str, told: str
) -> None:
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", secret)
    code, _, err = run("check", "--client-id", client_id)
    assert code == 1
    assert err.endswith(f"API token.{told}")
    assert "def" not in err


@pytest.mark.parametrize(
    ("status", "body", "content_type", "blame"),
    [
        (401, '{"error": "invalid_client"}', "application/json", "wrong client id or client secret: "),
        (400, '{"error": "invalid_client"}', "application/json", "wrong client id or client secret: "),
        (401, "<h1>", "text/html", "wrong client id or client secret, or a domain that is not a TheBase: "),
        (404, "<h1>", "text/html", "wrong domain: "),
        (200, "<h1>", "text/html", "wrong domain: "),
        (307, "", "text/html", "wrong domain: "),
        (429, "", "text/html", "the settings were not checked: "),
        (503, "<h1>", "text/html", "the settings were not checked: "),
    ],
)  # fmt: skip
def test_check_blames_as_far_as_the_answer_tells(
    run: Run, thebase: Sandbox, status: int, body: str, content_type: str, blame: str
) -> None:
    thebase.answer_next("/oauth/token", status, body, content_type)
    code, out, err = run("check")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"thebase-auth check: {blame}the token endpoint of 127.0.0.1:")


def test_a_host_that_nobody_knows_is_a_wrong_domain(run: Run) -> None:
    code, _, err = run("check", "--domain", "acme.invalid")
    assert code == 3
    assert err == (
        "thebase-auth check: wrong domain, or no network: unknown host acme.invalid."
        " Client id and secret were not checked\n"
    )


def test_where_nobody_listens_there_is_no_connection(run: Run) -> None:
    domain = f"http://127.0.0.1:{free_port()}"
    code, _, err = run("check", "--domain", domain)
    assert code == 3
    assert f"no connection to {domain.removeprefix('http://')}: " in err
    assert "refused" in err
    assert err.count("\n") == 1


def test_a_server_that_does_not_answer_is_left_in_time(run: Run, thebase: Sandbox) -> None:
    with thebase.hold_token_requests():
        code, _, err = run("check", "--timeout", "0.2")
    assert code == 3
    assert f"no answer from {thebase.domain.removeprefix('http://')} in time: " in err


def test_a_certificate_that_nobody_vouches_for(run: Run, certificates: Certificates) -> None:
    with Sandbox(**certificates.tls) as thebase:
        code, _, err = run("check", "--domain", thebase.domain)
    assert code == 3
    assert "no secure connection to localhost" in err
    assert "CERTIFICATE_VERIFY_FAILED" in err
    assert "REQUESTS_CA_BUNDLE" in err


def test_an_authority_of_ones_own_is_named_in_the_environment(
    run: Run, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)
    with Sandbox(ssl_certfile=certificates.certificate, ssl_keyfile=certificates.key) as thebase:
        assert run("check", "--domain", thebase.domain)[0] == 0
        assert run("request", "GET", "/v2/users", "--domain", thebase.domain)[0] == 0


def test_a_proxy_that_is_not_there_is_named_as_such(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    code, _, err = run("check", "--domain", "acme.thebase.co.il")
    assert code == 3
    assert "no way through the proxy to acme.thebase.co.il: " in err


def test_another_failure_of_the_library_is_reported_as_it_is(run: Run) -> None:
    def cut(request: Any) -> Any:
        if request.path == "/oauth/token":
            return 200, {"Content-Encoding": "gzip"}, b"no gzip"
        raise AssertionError

    with Server(cut).running() as server:
        code, _, err = run("check", "--domain", server.url)
    assert code == 3
    assert "gzip" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--domain", "acme.thebase.co.il/v2"], "domain has a path"),
        (["--domain", "http://acme.thebase.co.il"], "domain"),
        (["--client-id", " abc"], "client id begins or ends with white space"),
        (["--client-id", "a:b"], "client id has a colon"),
        (["--timeout", "0"], "invalid value for '--timeout': must be a number of seconds above 0"),
        (["--timeout", "nan"], "invalid value for '--timeout': must be a number of seconds above 0"),
        (["--timeout", "soon"], "invalid value for '--timeout': must be a number of seconds above 0"),
    ],
)
def test_settings_that_cannot_be_right_are_refused_before_anything_is_sent(
    run: Run, thebase: Sandbox, arguments: list[str], text: str
) -> None:
    for name in (["check"], ["token"], ["request", "GET", "/v2/users"]):
        code, out, err = run(*name, *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"thebase-auth {name[0]}: {text}")
    assert thebase.received == ()
