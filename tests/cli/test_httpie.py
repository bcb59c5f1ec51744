"""HTTPie with the auth type `thebase`: each test runs the real program, against a server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.certificates import Certificates
from tests.support.clients import CLIENT_ID, CLIENT_SECRET
from tests.support.servers import Server, api_server
from thebase_auth.testing import Sandbox

pytestmark = pytest.mark.skipif(find_spec("httpie") is None, reason="needs HTTPie")

GROUP = "httpie.plugins.auth.v1"
SECRET = "wrong-S3cret"
ID_AND_SECRET = f"{CLIENT_ID}:{CLIENT_SECRET}"

# Warnings are errors, but for those of newer versions of Python about HTTPie itself.
WARNINGS = ["-Werror", "-Wignore::DeprecationWarning", "-Wignore::PendingDeprecationWarning"]

# What the command `http` does, with our plugin even where the installed metadata does not name it.
HTTP = """
import sys
from httpie.core import main
from httpie.plugins.registry import plugin_manager
from thebase_auth._httpie import TheBaseAuthPlugin
plugin_manager.register(TheBaseAuthPlugin)
sys.argv[0] = "http"
sys.exit(main())
"""


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    def error(self) -> str:
        """The one line of the error that ended it."""
        assert self.code == 1
        assert self.out == ""
        assert "Traceback" not in self.err
        (line,) = self.err.split("\n\n\n")[0].strip().splitlines()
        return line.removeprefix("http: error: ")


Http: TypeAlias = Callable[..., Run]


@pytest.fixture
def http(tmp_path: Path) -> Http:
    """Runs HTTPie in a home directory of its own."""
    config = tmp_path / "httpie"
    config.mkdir()
    (config / "config.json").write_text('{"disable_update_warnings": true}')  # asks the network

    def run(*arguments: str, before: str = "", code: str = HTTP, stdin: Any = None, **more: str) -> Run:
        no_stdin = [] if stdin else ["--ignore-stdin"]
        environment = {name: text for name, text in os.environ.items() if "XDG" not in name}
        done = subprocess.run(
            [sys.executable, *WARNINGS, "-c", before + code, *arguments, *no_stdin],
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            env=environment | {"HTTPIE_CONFIG_DIR": str(config), "PYTHONUTF8": "1"} | more,
            timeout=50,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    return run


def auth(server: Sandbox) -> tuple[str, ...]:
    return "--auth-type=thebase", f"--auth={server.client_id}:{server.client_secret}"


def wrong(credentials: str = f"id:{SECRET}") -> tuple[str, ...]:
    return "--auth-type=thebase", f"--auth={credentials}"


def seen(server: Sandbox) -> list[tuple[str, int | None]]:
    return [(request.path, request.status) for request in server.received]


# The kept token


def test_token_is_kept_from_run_to_run(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    for _ in range(3):
        response = http(*auth(thebase), "--check-status", thebase.domain + "/v2/users")
        assert (response.code, response.err) == (0, "")
        assert json.loads(response.out)["items"]

    assert seen(thebase) == [("/oauth/token", 200), *[("/v2/users", 200)] * 3]
    (kept,) = tmp_path.rglob("tokens.json")
    assert kept.stat().st_mode & 0o077 == 0
    assert thebase.client_secret not in kept.read_text()


def test_revoked_token_is_renewed_and_the_call_replayed(http: Http, thebase: Sandbox) -> None:
    call = (*auth(thebase), "--check-status", "POST", thebase.domain + "/v2/leads/create")
    lead = ("name=משה", "f_name=כהן", "phone=0501234567")
    assert http(*call, *lead).code == 0
    thebase.revoke_tokens()
    response = http(*call, *lead)

    assert (response.code, response.err) == (0, "")
    assert json.loads(response.out)["message"] == "הליד נוצר בהצלחה"  # and no 401 before it
    rejected, _, replay = thebase.received[-3:]
    assert (rejected.status, replay.status) == (401, 201)
    assert rejected.body == replay.body == json.dumps(
        {"name": "משה", "f_name": "כהן", "phone": "0501234567"}
    ).encode()  # fmt: skip
    assert http(*call, *lead).code == 0
    assert thebase.token_requests == 2


def test_file_is_replayed(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "lead.json").write_text('{"name": "a", "f_name": "b", "phone": "c"}')
    call = (*auth(thebase), "--check-status", "POST", thebase.domain + "/v2/leads/create")
    http(*auth(thebase), thebase.domain + "/v2/users")
    thebase.revoke_tokens()
    with open(tmp_path / "lead.json") as lead:
        assert http(*call, stdin=lead).code == 0

    rejected, _, replay = thebase.received[-3:]
    assert (rejected.status, replay.status) == (401, 201)
    assert rejected.body == replay.body == (tmp_path / "lead.json").read_bytes()


@pytest.mark.parametrize("kind", ["--multipart", "--chunked"])
def test_one_shot_upload_gets_a_fresh_token(http: Http, thebase: Sandbox, kind: str) -> None:
    http(*auth(thebase), thebase.domain + "/v2/users")
    thebase.revoke_tokens()
    http(*auth(thebase), kind, "POST", thebase.domain + "/v2/leads/create", "name=a")

    assert thebase.token_requests == 2
    # No 401: it got as far as the lead.
    assert seen(thebase)[-1] == ("/v2/leads/create", 400 if kind == "--chunked" else 415)


def test_unusable_cache_directory_is_a_warning(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for _ in range(2):
        response = http(*auth(thebase), thebase.domain + "/v2/users", HOME=str(tmp_path / "file"))
        assert response.code == 0
        assert json.loads(response.out)["items"]
        assert response.err.startswith("the token cache FileTokenCache(")

    assert thebase.token_requests == 2


# The host


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_plain_http_is_rejected_before_a_request(http: Http, scheme: str) -> None:
    with api_server() as (proxy, _):
        response = http(*wrong(), scheme + "acme.thebase.co.il/v2/users", http_proxy=proxy.url)

        assert response.error().startswith("PlainHTTPError: nothing was sent, because over http://")
        assert "write https://" in response.error()
        assert SECRET not in response.err
        assert proxy.received == []


@pytest.mark.parametrize(
    "start", ["https://acme.thebase.co.il.", "https://2130706433", "ftp://acme.thebase.co.il"]
)
def test_impossible_domain_is_rejected_before_a_request(http: Http, start: str) -> None:
    with api_server() as (proxy, _):
        response = http(*wrong(), f"{start}/v2/users", all_proxy=proxy.url)

        assert response.error().startswith("ValueError: ")
        assert "for example" in response.error()
        assert SECRET not in response.err
        assert proxy.received == []


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://ACME.ישראל.co.il:8443/v2/users", "acme.xn--4dbrk0ce.co.il:8443"),
        ("https://someone:else@acme.thebase.co.il/v2/users", "acme.thebase.co.il:443"),
    ],
)
def test_token_request_goes_to_the_host_of_the_url(http: Http, url: str, place: str) -> None:
    with Server(lambda _: (403, {}, b"")).running() as proxy:
        response = http(*wrong(), url, https_proxy=proxy.url)

        assert "/oauth/token" in response.error()
        assert [(got.method, got.path) for got in proxy.received] == [("CONNECT", place)]


@pytest.mark.parametrize("start", ["http://some:body@127.0.0.1", "HTTP://LocalHost", ""])
def test_plain_http_is_allowed_on_loopback(http: Http, thebase: Sandbox, start: str) -> None:
    port = thebase.domain.rpartition(":")[2]

    assert http(*auth(thebase), "--check-status", f"{start}:{port}/v2/users").code == 0


def test_redirect_to_another_host_is_unsigned(http: Http) -> None:
    with api_server() as (server, api), Server(lambda _: (401, {}, b"who are you")).running() as other:
        api.responses["/away"] = (302, {"Location": other.url + "/landed"}, b"")
        credentials = ("--auth-type=thebase", f"--auth={ID_AND_SECRET}")
        response = http(*credentials, "--follow", server.url + "/away")

        assert response.out == "who are you"
        assert [(got.path, got.authorization) for got in other.received] == [("/landed", None)]
        assert api.token_requests == 1


def test_redirect_on_the_same_host_is_signed(http: Http) -> None:
    with api_server() as (server, api):
        api.responses["/moved"] = (302, {"Location": "/here"}, b"")
        credentials = ("--auth-type=thebase", f"--auth={ID_AND_SECRET}")
        http(*credentials, server.url)
        api.revoke()
        response = http(*credentials, "--follow", "--check-status", server.url + "/moved")

        assert (response.code, response.out) == (0, "accepted")
        assert api.token_requests == 2


def test_auth_object_signs_for_its_first_host_only(http: Http) -> None:
    code = """
import sys, requests
from thebase_auth._httpie import TheBaseAuthPlugin
auth = TheBaseAuthPlugin().get_auth(*sys.argv[1].split(":"))
for url in sys.argv[2:5]:
    print(requests.get(url, auth=auth).status_code)
print(repr(auth), vars(auth))
"""
    with api_server() as (server, api), api_server() as (other, others):
        response = http(ID_AND_SECRET, server.url, other.url, server.url, code=code)

        assert response.out.splitlines()[:3] == ["200", "401", "200"]
        assert CLIENT_SECRET not in response.out
        assert [(got.path, got.authorization) for got in other.received] == [("/", None)]
        assert (api.token_requests, others.token_requests) == (1, 0)


# Credentials


def test_wrong_secret_is_one_line(http: Http, thebase: Sandbox) -> None:
    url = thebase.domain + "/v2/users"
    response = http(*wrong(f"{thebase.client_id}:{SECRET}"), url)

    assert response.error().startswith("TokenRequestError: the token endpoint of 127.0.0.1:")
    assert SECRET not in response.err
    assert seen(thebase) == [("/oauth/token", 401)]


@pytest.mark.parametrize("option", ["--debug", "--traceback", "--verbose"])
def test_secret_is_shown_by_no_option(http: Http, thebase: Sandbox, option: str) -> None:
    url = thebase.domain + "/v2/users"
    rejected = http(*wrong(f"{thebase.client_id}:{SECRET}"), option, url)
    accepted = http(*auth(thebase), option, url)

    assert (rejected.code, accepted.code) == (1, 0)
    assert SECRET not in rejected.out + rejected.err
    assert thebase.client_secret not in accepted.out + accepted.err


@pytest.mark.parametrize(
    ("credentials", "text"),
    [
        ("id:", "client secret is empty"),
        (f":{SECRET}", "client id is empty"),
        (f" id:{SECRET}", "client id begins or ends with white space"),
        (f"id:{SECRET}\n", "client secret begins or ends with white space"),
        (f"id:\u200f{SECRET}", "client secret has a control or invisible character (U+200F)"),
    ],
)
def test_impossible_credentials_are_one_line(
    http: Http, thebase: Sandbox, credentials: str, text: str
) -> None:
    response = http(*wrong(credentials), thebase.domain + "/v2/users")

    assert response.error().startswith(f"ValueError: {text}")
    assert SECRET not in response.err
    assert seen(thebase) == []


def test_id_may_begin_with_a_dash_and_secret_have_colons(http: Http) -> None:
    with Sandbox(client_id="-abc..", client_secret="d:e::f") as thebase:
        assert http(*auth(thebase), "--check-status", thebase.domain + "/v2/users").code == 0


def test_missing_secret_is_asked_for(http: Http, thebase: Sandbox) -> None:
    typed = f"import getpass\ngetpass.getpass = lambda prompt: {thebase.client_secret!r}\n"
    url = thebase.domain + "/v2/users"
    with open(os.devnull) as keyboard:
        response = http(*wrong(thebase.client_id), "--check-status", "GET", url, before=typed, stdin=keyboard)

    assert (response.code, response.err) == (0, "")


def environment(thebase: Sandbox) -> dict[str, str]:
    return {
        "THEBASE_DOMAIN": thebase.domain,
        "THEBASE_CLIENT_ID": thebase.client_id,
        "THEBASE_CLIENT_SECRET": thebase.client_secret,
    }


@pytest.mark.parametrize("more", [[], ["--auth", ":"]])
def test_credentials_are_taken_from_the_environment(http: Http, thebase: Sandbox, more: list[str]) -> None:
    url = thebase.domain + "/v2/users"
    response = http("--auth-type=thebase", "--check-status", *more, url, **environment(thebase))

    assert (response.code, response.err) == (0, "")
    assert thebase.token_requests == 1


def test_auth_precedes_the_environment(http: Http, thebase: Sandbox) -> None:
    there = {**environment(thebase), "THEBASE_CLIENT_ID": "wrong", "THEBASE_DOMAIN": "acme.thebase.co.il"}
    assert http(*auth(thebase), "--check-status", thebase.domain + "/v2/users", **there).code == 0


def test_environment_is_for_its_own_domain_only(http: Http, thebase: Sandbox) -> None:
    url = thebase.domain + "/v2/users"
    there = {**environment(thebase), "THEBASE_DOMAIN": "acme.thebase.co.il"}
    response = http("--auth-type=thebase", url, **there)

    assert response.error() == (
        f"ValueError: nothing was sent, because the URL leads to {thebase.domain}, and client id and client"
        " secret in the environment are those of acme.thebase.co.il (THEBASE_DOMAIN); give --auth"
        " CLIENT_ID:CLIENT_SECRET"
    )
    assert thebase.received == ()


@pytest.mark.parametrize("name", ["THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET"])
def test_missing_variable_is_one_line(http: Http, thebase: Sandbox, name: str) -> None:
    response = http("--auth-type=thebase", thebase.domain, **{**environment(thebase), name: ""})

    assert response.error() == (
        f"ValueError: unset or empty in the environment: {name}; set them, or give --auth"
        " CLIENT_ID:CLIENT_SECRET"
    )
    assert thebase.client_secret not in response.err
    assert thebase.received == ()


def test_session_without_auth_stores_no_secret(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    url, there = thebase.domain + "/v2/users", environment(thebase)
    assert http("--auth-type=thebase", "--session=mine", "--check-status", url, **there).code == 0
    (stored,) = tmp_path.rglob("mine.json")
    assert json.loads(stored.read_text())["auth"] == {"type": "thebase", "raw_auth": ":"}
    assert thebase.client_secret not in stored.read_text()
    response = http("--session=mine", "--check-status", url, **there)
    assert (response.code, response.err) == (0, "")


def test_netrc_is_not_read(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    netrc.chmod(0o600)
    url = thebase.domain + "/v2/users"
    assert (
        http("--auth-type=thebase", "--check-status", url, NETRC=str(netrc), **environment(thebase)).code == 0
    )


# HTTPie's own options


def test_session_with_auth_stores_the_secret_and_no_token(
    http: Http, thebase: Sandbox, tmp_path: Path
) -> None:
    url = thebase.domain + "/v2/users"
    http(*auth(thebase), "--session=mine", url)
    response = http("--session=mine", "--check-status", url)

    assert response.code == 0
    (stored,) = tmp_path.rglob("mine.json")
    session = json.loads(stored.read_text())
    assert session["auth"] == {"type": "thebase", "raw_auth": f"{thebase.client_id}:{thebase.client_secret}"}
    assert session["headers"] == []
    assert "Bearer" not in stored.read_text()
    assert thebase.token_requests == 1


def test_offline_still_fetches_a_token(http: Http, thebase: Sandbox) -> None:
    for _ in range(2):
        response = http(*auth(thebase), "--offline", thebase.domain + "/v2/users")
        assert response.code == 0
        assert "Authorization: Bearer " in response.out

    assert seen(thebase) == [("/oauth/token", 200)]


def test_verify_does_not_apply_to_the_token_request(http: Http, certificates: Certificates) -> None:
    with Sandbox(ssl_certfile=certificates.certificate, ssl_keyfile=certificates.key) as thebase:
        call = (*auth(thebase), "--check-status", thebase.domain + "/v2/users")
        rejected = http(*call, f"--verify={certificates.authority}")
        assert rejected.error().startswith("SSLError: ")
        assert thebase.client_secret not in rejected.err
        assert http(*call, REQUESTS_CA_BUNDLE=certificates.authority).code == 0
        # With a kept token, HTTPie's own option is enough.
        assert http(*call, f"--verify={certificates.authority}").code == 0


# Installation


@pytest.mark.parametrize("library", ["filelock", "platformdirs"])
def test_missing_library_is_one_line(http: Http, thebase: Sandbox, library: str) -> None:
    missing = f"import sys\nsys.modules[{library!r}] = None\n"
    response = http(*auth(thebase), thebase.domain + "/v2/users", before=missing)

    assert response.error().startswith("ImportError: ")
    assert "pip install 'thebase-auth[file]'" in response.error()
    assert thebase.client_secret not in response.err
    assert seen(thebase) == []


@pytest.mark.skipif(
    "thebase" not in entry_points(group=GROUP).names,
    reason="the package was installed before it had this entry point",
)
def test_httpie_finds_the_entry_point(http: Http, thebase: Sandbox) -> None:
    code = "import sys\nfrom httpie.core import main\nsys.exit(main())\n"
    response = http(*auth(thebase), "--check-status", thebase.domain + "/v2/users", code=code)

    assert (response.code, response.err) == (0, "")
