"""The command `check`: which setting is to blame, or what is in the way."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.command_line import Run
from tests.support.databases import free_port
from tests.support.servers import Server
from thebase_auth.testing import Sandbox


def test_check_says_who_where_and_for_how_long(run: Run, thebase: Sandbox) -> None:
    host = thebase.domain.removeprefix("http://")
    code, out, err = run("check")
    assert (code, err) == (0, "")
    assert out == (
        f"domain     {host}, asked at {thebase.domain}/oauth/token\n"
        f"client id  {thebase.client_id}\n"
        "token      granted; good for 3600 seconds\n"
    )
    assert thebase.token_requests == 1


def test_check_ignores_the_cache_and_reports_an_unknown_lifetime(run: Run, thebase: Sandbox) -> None:
    run("token")
    thebase.expires_in = None
    assert "granted; the server does not say for how long\n" in run("check")[1]
    assert thebase.token_requests == 2


# The settings


def test_swapped_id_and_secret_are_reported(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    thebase.client.client_id = "HsXI8gp1B5F2d5EDnGy3Tw.."
    thebase.client.client_secret = "LvTJmqtlvEKyuqvz1brRMg.."
    monkeypatch.setenv("THEBASE_CLIENT_ID", thebase.client_secret)
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", thebase.client_id)
    host = thebase.domain.removeprefix("http://")
    message = f"client id and client secret are swapped: {host} accepts them the other way round"
    assert run("check") == (1, "", f"thebase-auth: {message}\n")
    assert [one.status for one in thebase.received] == [401, 200]
    code, _, err = run("token", "--no-cache")  # tries once only
    assert (code, thebase.token_requests) == (1, 3)
    assert "are swapped" not in err


@pytest.mark.parametrize(
    ("secret", "body", "content_type", "requests"),
    [
        ("wrong..", '{"error": "invalid_client"}', "application/json", 2),
        ("with:colon", '{"error": "invalid_client"}', "application/json", 1),  # no ID has a colon
        ("wrong..", "<h1>", "text/html", 1),  # an unknown server gets the secret in one place only
    ],
)
def test_only_a_thebase_is_tried_with_the_two_swapped(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, secret: str, body: str, content_type: str,
    requests: int,
) -> None:  # fmt: skip
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", secret)
    thebase.answer_next("/oauth/token", 401, body, content_type)
    code, _, err = run("check")
    assert (code, thebase.token_requests) == (1, requests)
    assert "are swapped" not in err
    assert secret not in err


@pytest.mark.parametrize(
    ("status", "body", "content_type", "blame"),
    [
        (401, '{"error": "invalid_client"}', "application/json", "wrong client id or client secret: "),
        (400, '{"error": "invalid_client"}', "application/json", "wrong client id or client secret: "),
        (401, "<h1>", "text/html", "wrong client id or client secret, or a domain that is not a TheBase: "),
        (404, "<h1>", "text/html", "wrong domain: "),
        (407, "", "text/html", "a proxy rejected the request: "),
        (429, "", "text/html", "the settings were not checked: "),
        (503, "<h1>", "text/html", "the settings were not checked: "),
        (400, '{"error": "invalid_request"}', "application/json", "the settings were not checked: "),
    ],
)
def test_check_blames_a_setting_as_far_as_the_response_tells(
    run: Run, thebase: Sandbox, status: int, body: str, content_type: str, blame: str
) -> None:
    thebase.answer_next("/oauth/token", status, body, content_type)
    code, out, err = run("check", "--client-id", "mistyped..")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"thebase-auth: {blame}the token endpoint of 127.0.0.1:")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--domain", "acme.thebase.co.il/v2", "domain has a path"),
        ("--client-id", "a:b", "client id has a colon"),
    ],
)
def test_impossible_setting_is_rejected_before_a_request(
    run: Run, thebase: Sandbox, option: str, value: str, message: str
) -> None:
    code, out, err = run("check", option, value)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"thebase-auth: {message}")
    assert thebase.received == ()


# What is in the way


def test_failed_connection_says_what_is_in_the_way(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def obstacle(*arguments: str) -> str:
        code, out, err = run("check", *arguments)
        assert (code, out, err.count("\n")) == (3, "", 1)
        return err.removeprefix("thebase-auth: ")

    closed, host = f"127.0.0.1:{free_port()}", thebase.domain.removeprefix("http://")
    unknown = "wrong domain, or no network: unknown host acme.invalid\n"
    assert obstacle("--domain", "acme.invalid") == unknown
    refused = obstacle("--domain", f"http://{closed}")
    assert (refused.startswith(f"no connection to {closed}: "), "refused" in refused) == (True, True)
    assert "does not speak TLS; for a server on this machine, write http://" in obstacle("--domain", host)
    with thebase.hold_token_requests():
        assert obstacle("--timeout", "0.2").startswith(f"no response from {host} in time: ")
    monkeypatch.setenv("HTTPS_PROXY", f"http://{closed}")
    by_proxy = obstacle("--domain", "acme.thebase.co.il")
    assert by_proxy.startswith("no way through the proxy to acme.thebase.co.il: ")


def test_untrusted_certificate_is_reported(
    run: Run, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(**certificates.tls) as thebase:
        code, _, err = run("check", "--domain", thebase.domain)
        assert code == 3
        for part in ("no secure connection to localhost", "CERTIFICATE_VERIFY_FAILED", "REQUESTS_CA_BUNDLE"):
            assert part in err
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)
        assert run("check", "--domain", thebase.domain)[0] == 0
        assert run("request", "GET", "/v2/users", "--domain", thebase.domain)[0] == 0


def test_any_other_failure_is_one_line(run: Run) -> None:
    def cut(_: Any) -> Any:
        return 200, {"Content-Encoding": "gzip"}, b"no gzip"

    with Server(cut).running() as server:
        code, _, err = run("check", "--domain", server.url)
    assert (code, err.count("\n")) == (3, 1)
    assert "gzip" in err


def test_error_cannot_control_the_terminal(run: Run) -> None:
    def respond() -> None:
        with listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"\x1b]0;EVIL\x07\x1b[31m\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(respond)
        code, _, err = run("check", "--domain", f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert (code, err.count("\n")) == (3, 1)
    assert re.search(r"[\x1b\x07]", err) is None
