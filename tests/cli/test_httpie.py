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
LEAD = {"name": "משה", "f_name": "כהן", "phone": "0501234567"}

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
        assert (self.code, self.out) == (1, "")
        assert "Traceback" not in self.err
        assert SECRET not in self.err
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
    return "--auth-type=thebase", "--check-status", f"--auth={server.client_id}:{server.client_secret}"


def wrong(credentials: str = f"id:{SECRET}") -> tuple[str, ...]:
    return "--auth-type=thebase", f"--auth={credentials}"


def users(server: Sandbox) -> str:
    return server.domain + "/v2/users"


def seen(server: Sandbox) -> list[tuple[str, int | None]]:
    return [(request.path, request.status) for request in server.received]


# The kept token


@pytest.mark.slow
def test_token_is_kept_from_run_to_run(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    for _ in range(3):
        response = http(*auth(thebase), users(thebase))
        assert (response.code, response.err) == (0, "")
        assert json.loads(response.out)["items"]
    assert seen(thebase) == [("/oauth/token", 200), *[("/v2/users", 200)] * 3]
    (kept,) = tmp_path.rglob("tokens.json")
    assert kept.stat().st_mode & 0o077 == 0
    assert thebase.client_secret not in kept.read_text()


@pytest.mark.parametrize("from_file", [False, True])
def test_revoked_token_is_renewed_and_the_call_replayed(
    http: Http, thebase: Sandbox, tmp_path: Path, from_file: bool
) -> None:
    (tmp_path / "lead.json").write_text(json.dumps(LEAD))
    fields = [] if from_file else [f"{key}={value}" for key, value in LEAD.items()]
    http(*auth(thebase), users(thebase))
    thebase.revoke_tokens()
    with open(tmp_path / "lead.json") as lead:
        call = (*auth(thebase), "POST", thebase.domain + "/v2/leads/create", *fields)
        response = http(*call, stdin=lead if from_file else None)
    assert (response.code, response.err) == (0, "")
    assert json.loads(response.out)["message"] == "הליד נוצר בהצלחה"  # and no 401 before it
    rejected, _, replay = thebase.received[-3:]
    assert (rejected.status, replay.status) == (401, 201)
    assert rejected.body == replay.body == json.dumps(LEAD).encode()
    assert http(*auth(thebase), users(thebase)).code == 0
    assert thebase.token_requests == 2


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "status"), [("--multipart", 415), ("--chunked", 400)])
def test_one_shot_upload_gets_a_fresh_token(http: Http, thebase: Sandbox, kind: str, status: int) -> None:
    http(*auth(thebase), users(thebase))
    thebase.revoke_tokens()
    http(*auth(thebase), kind, "POST", thebase.domain + "/v2/leads/create", "name=a")
    assert thebase.token_requests == 2
    assert seen(thebase)[-1] == ("/v2/leads/create", status)  # no 401: it got as far as the lead


@pytest.mark.slow
def test_unusable_cache_directory_is_a_warning(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for _ in range(2):
        response = http(*auth(thebase), users(thebase), HOME=str(tmp_path / "file"))
        assert (response.code, "items" in response.out) == (0, True)
        assert response.err.startswith("the token cache FileTokenCache(")
    assert thebase.token_requests == 2


# The host


@pytest.mark.parametrize(
    ("start", "error", "text"),
    [
        *[(start, "PlainHTTPError: nothing was sent, because over http://", "write https://")
          for start in ("acme.thebase.co.il", "http://acme.thebase.co.il")],
        *[(start, "ValueError: ", "for example") for start in
          ("https://acme.thebase.co.il.", "https://2130706433", "ftp://acme.thebase.co.il")],
    ],
)  # fmt: skip
def test_impossible_domain_is_rejected_before_a_request(
    http: Http, start: str, error: str, text: str
) -> None:
    with api_server() as (proxy, _):
        shown = http(*wrong(), f"{start}/v2/users", all_proxy=proxy.url, http_proxy=proxy.url).error()
        assert shown.startswith(error)
        assert text in shown
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
        assert "/oauth/token" in http(*wrong(), url, https_proxy=proxy.url).error()
        assert [(got.method, got.path) for got in proxy.received] == [("CONNECT", place)]


@pytest.mark.parametrize("start", ["http://some:body@127.0.0.1", "HTTP://LocalHost", ""])
def test_plain_http_is_allowed_on_loopback(http: Http, thebase: Sandbox, start: str) -> None:
    port = thebase.domain.rpartition(":")[2]
    assert http(*auth(thebase), f"{start}:{port}/v2/users").code == 0


def test_redirect_is_signed_on_the_same_host_only(http: Http) -> None:
    with api_server() as (server, api), Server(lambda _: (401, {}, b"who are you")).running() as other:
        api.responses["/moved"] = (302, {"Location": "/here"}, b"")
        api.responses["/away"] = (302, {"Location": other.url + "/landed"}, b"")
        follow = (*wrong(ID_AND_SECRET), "--follow")
        http(*follow, server.url)
        api.revoke()
        assert http(*follow, "--check-status", server.url + "/moved").out == "accepted"
        assert http(*follow, server.url + "/away").out == "who are you"
        assert [(got.path, got.authorization) for got in other.received] == [("/landed", None)]
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


@pytest.mark.parametrize(
    "option",
    [
        "--debug",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("--traceback", "--verbose", "--body")),
    ],
)
def test_wrong_secret_is_an_error_and_shown_by_no_option(http: Http, thebase: Sandbox, option: str) -> None:
    rejected = http(*wrong(f"{thebase.client_id}:{SECRET}"), option, users(thebase))
    if option == "--body":
        assert rejected.error().startswith("TokenRequestError: the token endpoint of 127.0.0.1:")
    assert seen(thebase) == [("/oauth/token", 401)]
    accepted = http(*auth(thebase), option, users(thebase))
    assert (rejected.code, accepted.code) == (1, 0)
    assert SECRET not in rejected.out + rejected.err
    assert thebase.client_secret not in accepted.out + accepted.err


@pytest.mark.parametrize(
    ("credentials", "text"),
    [
        ("id:", "client secret is empty"),
        (f":{SECRET}", "client id is empty"),
        (f"id:\u200f{SECRET}", "client secret has a control or invisible character (U+200F)"),
    ],
)
def test_impossible_credentials_are_one_line(
    http: Http, thebase: Sandbox, credentials: str, text: str
) -> None:
    assert http(*wrong(credentials), users(thebase)).error().startswith(f"ValueError: {text}")
    assert seen(thebase) == []


def test_id_may_begin_with_a_dash_and_secret_have_colons(http: Http) -> None:
    with Sandbox(client_id="-abc..", client_secret="d:e::f") as thebase:
        assert http(*auth(thebase), users(thebase)).code == 0


def test_missing_secret_is_asked_for(http: Http, thebase: Sandbox) -> None:
    typed = f"import getpass\ngetpass.getpass = lambda prompt: {thebase.client_secret!r}\n"
    call = (*wrong(thebase.client_id), "--check-status", "GET", users(thebase))
    with open(os.devnull) as keyboard:
        response = http(*call, before=typed, stdin=keyboard)
    assert (response.code, response.err) == (0, "")


# The environment


@pytest.fixture
def environment(thebase: Sandbox) -> dict[str, str]:
    return {
        "THEBASE_DOMAIN": thebase.domain,
        "THEBASE_CLIENT_ID": thebase.client_id,
        "THEBASE_CLIENT_SECRET": thebase.client_secret,
    }


def test_credentials_come_from_auth_or_the_environment(
    http: Http, thebase: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    netrc.chmod(0o600)
    for more in [], ["--auth", ":"]:
        call = ("--auth-type=thebase", "--check-status", *more, users(thebase))
        response = http(*call, NETRC=str(netrc), **environment)
        assert (response.code, response.err) == (0, "")
    assert thebase.token_requests == 1
    other = {**environment, "THEBASE_CLIENT_ID": "wrong", "THEBASE_DOMAIN": "acme.thebase.co.il"}
    assert http(*auth(thebase), users(thebase), **other).code == 0


def test_environment_is_for_its_own_domain_only(
    http: Http, thebase: Sandbox, environment: dict[str, str]
) -> None:
    there = {**environment, "THEBASE_DOMAIN": "acme.thebase.co.il"}
    assert http("--auth-type=thebase", users(thebase), **there).error() == (
        f"ValueError: nothing was sent, because the URL leads to {thebase.domain}, and client id and client"
        " secret in the environment are those of acme.thebase.co.il (THEBASE_DOMAIN); give --auth"
        " CLIENT_ID:CLIENT_SECRET"
    )
    assert thebase.received == ()


def test_missing_variable_is_one_line(http: Http, thebase: Sandbox, environment: dict[str, str]) -> None:
    response = http("--auth-type=thebase", thebase.domain, **{**environment, "THEBASE_CLIENT_ID": ""})
    assert response.error() == (
        "ValueError: unset or empty in the environment: THEBASE_CLIENT_ID; set them, or give --auth"
        " CLIENT_ID:CLIENT_SECRET"
    )
    assert thebase.client_secret not in response.err
    assert thebase.received == ()


# HTTPie's own options


@pytest.mark.slow
@pytest.mark.parametrize("is_given", [True, False])
def test_session_stores_the_value_of_auth_and_no_token(
    http: Http, thebase: Sandbox, environment: dict[str, str], tmp_path: Path, is_given: bool
) -> None:
    given = auth(thebase) if is_given else ("--auth-type=thebase", "--check-status")
    for call in (*given, "--session=mine"), ("--session=mine", "--check-status"):
        response = http(*call, users(thebase), **environment)
        assert (response.code, response.err) == (0, "")
    (stored,) = tmp_path.rglob("mine.json")
    session = json.loads(stored.read_text())
    raw = f"{thebase.client_id}:{thebase.client_secret}" if is_given else ":"
    assert (session["auth"], session["headers"]) == ({"type": "thebase", "raw_auth": raw}, [])
    assert "Bearer" not in stored.read_text()
    assert thebase.token_requests == 1


@pytest.mark.slow
def test_offline_still_fetches_a_token(http: Http, thebase: Sandbox) -> None:
    for _ in range(2):
        response = http(*auth(thebase), "--offline", users(thebase))
        assert (response.code, "Authorization: Bearer " in response.out) == (0, True)
    assert seen(thebase) == [("/oauth/token", 200)]


@pytest.mark.slow
def test_verify_does_not_apply_to_the_token_request(http: Http, certificates: Certificates) -> None:
    with Sandbox(**certificates.tls) as thebase:
        call = (*auth(thebase), users(thebase))
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
    error = http(*wrong(), users(thebase), before=missing).error()
    assert error.startswith("ImportError: ")
    assert "install the extra 'file'" in error
    assert seen(thebase) == []


@pytest.mark.skipif(
    "thebase" not in entry_points(group=GROUP).names,
    reason="the package was installed before it had this entry point",
)
def test_httpie_finds_the_entry_point(http: Http, thebase: Sandbox) -> None:
    code = "import sys\nfrom httpie.core import main\nsys.exit(main())\n"
    response = http(*auth(thebase), users(thebase), code=code)
    assert (response.code, response.err) == (0, "")
