"""HTTPie with the auth type `thebase`: each test runs the real program, against a server on loopback.

It runs in a process of its own, for it changes the standard library's cookies where it is imported.
"""

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


# The token, from run to run


def test_several_runs_make_one_token_request(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    for _ in range(3):
        answer = http(*auth(thebase), "--check-status", thebase.domain + "/v2/users")
        assert (answer.code, answer.err) == (0, "")
        assert json.loads(answer.out)["items"]

    assert seen(thebase) == [("/oauth/token", 200), *[("/v2/users", 200)] * 3]
    (kept,) = tmp_path.rglob("tokens.json")
    assert kept.stat().st_mode & 0o077 == 0
    assert thebase.client_secret not in kept.read_text()


def test_a_token_that_died_between_two_runs_is_renewed_and_the_body_sent_again(
    http: Http, thebase: Sandbox
) -> None:
    call = (*auth(thebase), "--check-status", "POST", thebase.domain + "/v2/leads/create")
    lead = ("name=משה", "f_name=כהן", "phone=0501234567")
    assert http(*call, *lead).code == 0
    thebase.revoke_tokens()
    answer = http(*call, *lead)

    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out)["message"] == "הליד נוצר בהצלחה"  # and no 401 before it
    refused, _, replay = thebase.received[-3:]
    assert (refused.status, replay.status) == (401, 201)
    assert refused.body == replay.body == json.dumps(
        {"name": "משה", "f_name": "כהן", "phone": "0501234567"}
    ).encode()  # fmt: skip
    assert http(*call, *lead).code == 0
    assert thebase.token_requests == 2


def test_a_body_that_is_a_file_is_sent_again(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "lead.json").write_text('{"name": "a", "f_name": "b", "phone": "c"}')
    call = (*auth(thebase), "--check-status", "POST", thebase.domain + "/v2/leads/create")
    http(*auth(thebase), thebase.domain + "/v2/users")
    thebase.revoke_tokens()
    with open(tmp_path / "lead.json") as lead:
        assert http(*call, stdin=lead).code == 0

    refused, _, replay = thebase.received[-3:]
    assert (refused.status, replay.status) == (401, 201)
    assert refused.body == replay.body == (tmp_path / "lead.json").read_bytes()


@pytest.mark.parametrize("kind", ["--multipart", "--chunked"])
def test_an_upload_that_can_be_sent_only_once_gets_its_own_token(
    http: Http, thebase: Sandbox, kind: str
) -> None:
    http(*auth(thebase), thebase.domain + "/v2/users")
    thebase.revoke_tokens()
    http(*auth(thebase), kind, "POST", thebase.domain + "/v2/leads/create", "name=a")

    assert thebase.token_requests == 2
    # No 401: it got as far as the lead.
    assert seen(thebase)[-1] == ("/v2/leads/create", 400 if kind == "--chunked" else 415)


def test_without_a_place_for_the_cache_it_works_and_says_so(
    http: Http, thebase: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for _ in range(2):
        answer = http(*auth(thebase), thebase.domain + "/v2/users", HOME=str(tmp_path / "file"))
        assert answer.code == 0
        assert json.loads(answer.out)["items"]
        assert answer.err.startswith("the token cache FileTokenCache(")

    assert thebase.token_requests == 2


# Where the token goes


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_plain_http_is_refused_before_anything_is_sent(http: Http, scheme: str) -> None:
    with api_server() as (proxy, _):
        answer = http(*wrong(), scheme + "acme.thebase.co.il/v2/users", http_proxy=proxy.url)

        assert answer.error().startswith("PlainHTTPError: nothing was sent, because over http://")
        assert "write https://" in answer.error()
        assert SECRET not in answer.err
        assert proxy.received == []


@pytest.mark.parametrize(
    "start", ["https://acme.thebase.co.il.", "https://2130706433", "ftp://acme.thebase.co.il"]
)
def test_what_cannot_be_a_domain_is_refused_before_anything_is_sent(http: Http, start: str) -> None:
    with api_server() as (proxy, _):
        answer = http(*wrong(), f"{start}/v2/users", all_proxy=proxy.url)

        assert answer.error().startswith("ValueError: ")
        assert "for example" in answer.error()
        assert SECRET not in answer.err
        assert proxy.received == []


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://ACME.ישראל.co.il:8443/v2/users", "acme.xn--4dbrk0ce.co.il:8443"),
        ("https://someone:else@acme.thebase.co.il/v2/users", "acme.thebase.co.il:443"),
    ],
)
def test_the_token_is_asked_for_at_the_host_of_the_url(http: Http, url: str, place: str) -> None:
    with Server(lambda _: (403, {}, b"")).running() as proxy:
        answer = http(*wrong(), url, https_proxy=proxy.url)

        assert "/oauth/token" in answer.error()
        assert [(got.method, got.path) for got in proxy.received] == [("CONNECT", place)]


@pytest.mark.parametrize("start", ["http://some:body@127.0.0.1", "HTTP://LocalHost", ""])
def test_loopback_is_reached_over_plain_http(http: Http, thebase: Sandbox, start: str) -> None:
    port = thebase.domain.rpartition(":")[2]

    assert http(*auth(thebase), "--check-status", f"{start}:{port}/v2/users").code == 0


def test_a_redirect_to_another_host_takes_no_token_along_and_its_401_renews_nothing(http: Http) -> None:
    with api_server() as (server, api), Server(lambda _: (401, {}, b"who are you")).running() as other:
        api.answers["/away"] = (302, {"Location": other.url + "/landed"}, b"")
        credentials = ("--auth-type=thebase", f"--auth={ID_AND_SECRET}")
        answer = http(*credentials, "--follow", server.url + "/away")

        assert answer.out == "who are you"
        assert [(got.path, got.authorization) for got in other.received] == [("/landed", None)]
        assert api.token_requests == 1


def test_a_redirect_on_the_same_host_keeps_the_token_also_after_a_renewal(http: Http) -> None:
    with api_server() as (server, api):
        api.answers["/moved"] = (302, {"Location": "/here"}, b"")
        credentials = ("--auth-type=thebase", f"--auth={ID_AND_SECRET}")
        http(*credentials, server.url)
        api.revoke()
        answer = http(*credentials, "--follow", "--check-status", server.url + "/moved")

        assert (answer.code, answer.out) == (0, "accepted")
        assert api.token_requests == 2


def test_an_auth_object_belongs_to_the_first_host_that_it_sees(http: Http) -> None:
    code = """
import sys, requests
from thebase_auth._httpie import TheBaseAuthPlugin
auth = TheBaseAuthPlugin().get_auth(*sys.argv[1].split(":"))
for url in sys.argv[2:5]:
    print(requests.get(url, auth=auth).status_code)
print(repr(auth), vars(auth))
"""
    with api_server() as (server, api), api_server() as (other, others):
        answer = http(ID_AND_SECRET, server.url, other.url, server.url, code=code)

        assert answer.out.splitlines()[:3] == ["200", "401", "200"]
        assert CLIENT_SECRET not in answer.out
        assert [(got.path, got.authorization) for got in other.received] == [("/", None)]
        assert (api.token_requests, others.token_requests) == (1, 0)


# Id and secret


def test_a_wrong_secret_is_one_line(http: Http, thebase: Sandbox) -> None:
    url = thebase.domain + "/v2/users"
    answer = http(*wrong(f"{thebase.client_id}:{SECRET}"), url)

    assert answer.error().startswith("TokenRequestError: the token endpoint of 127.0.0.1:")
    assert SECRET not in answer.err
    assert seen(thebase) == [("/oauth/token", 401)]


@pytest.mark.parametrize("option", ["--debug", "--traceback", "--verbose"])
def test_the_secret_is_shown_by_no_option(http: Http, thebase: Sandbox, option: str) -> None:
    url = thebase.domain + "/v2/users"
    refused = http(*wrong(f"{thebase.client_id}:{SECRET}"), option, url)
    answered = http(*auth(thebase), option, url)

    assert (refused.code, answered.code) == (1, 0)
    assert SECRET not in refused.out + refused.err
    assert thebase.client_secret not in answered.out + answered.err


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
def test_what_cannot_be_an_id_or_a_secret_is_one_line(
    http: Http, thebase: Sandbox, credentials: str, text: str
) -> None:
    answer = http(*wrong(credentials), thebase.domain + "/v2/users")

    assert answer.error().startswith(f"ValueError: {text}")
    assert SECRET not in answer.err
    assert seen(thebase) == []


def test_ids_may_begin_with_a_dash_and_secrets_have_colons(http: Http) -> None:
    with Sandbox(client_id="-abc..", client_secret="d:e::f") as thebase:
        assert http(*auth(thebase), "--check-status", thebase.domain + "/v2/users").code == 0


def test_a_secret_that_is_not_given_is_asked_for(http: Http, thebase: Sandbox) -> None:
    typed = f"import getpass\ngetpass.getpass = lambda prompt: {thebase.client_secret!r}\n"
    url = thebase.domain + "/v2/users"
    with open(os.devnull) as keyboard:
        answer = http(*wrong(thebase.client_id), "--check-status", "GET", url, before=typed, stdin=keyboard)

    assert (answer.code, answer.err) == (0, "")


def environment(thebase: Sandbox) -> dict[str, str]:
    return {
        "THEBASE_DOMAIN": thebase.domain,
        "THEBASE_CLIENT_ID": thebase.client_id,
        "THEBASE_CLIENT_SECRET": thebase.client_secret,
    }


@pytest.mark.parametrize("more", [[], ["--auth", ":"]])
def test_without_auth_id_and_secret_come_from_the_environment(
    http: Http, thebase: Sandbox, more: list[str]
) -> None:
    url = thebase.domain + "/v2/users"
    answer = http("--auth-type=thebase", "--check-status", *more, url, **environment(thebase))

    assert (answer.code, answer.err) == (0, "")
    assert thebase.token_requests == 1


def test_auth_goes_before_the_environment(http: Http, thebase: Sandbox) -> None:
    there = {**environment(thebase), "THEBASE_CLIENT_ID": "wrong", "THEBASE_DOMAIN": "acme.thebase.co.il"}
    assert http(*auth(thebase), "--check-status", thebase.domain + "/v2/users", **there).code == 0


def test_id_and_secret_of_the_environment_go_to_their_own_domain_alone(http: Http, thebase: Sandbox) -> None:
    url = thebase.domain + "/v2/users"
    there = {**environment(thebase), "THEBASE_DOMAIN": "acme.thebase.co.il"}
    answer = http("--auth-type=thebase", url, **there)

    assert answer.error() == (
        f"ValueError: nothing was sent, because the URL leads to {thebase.domain}, and client id and client"
        " secret in the environment are those of acme.thebase.co.il (THEBASE_DOMAIN); give --auth"
        " CLIENT_ID:CLIENT_SECRET"
    )
    assert thebase.received == ()


@pytest.mark.parametrize("name", ["THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET"])
def test_what_the_environment_lacks_is_one_line(http: Http, thebase: Sandbox, name: str) -> None:
    answer = http("--auth-type=thebase", thebase.domain, **{**environment(thebase), name: ""})

    assert answer.error() == (
        f"ValueError: unset or empty in the environment: {name}; set them, or give --auth"
        " CLIENT_ID:CLIENT_SECRET"
    )
    assert thebase.client_secret not in answer.err
    assert thebase.received == ()


def test_a_session_without_auth_keeps_no_secret(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    url, there = thebase.domain + "/v2/users", environment(thebase)
    assert http("--auth-type=thebase", "--session=mine", "--check-status", url, **there).code == 0
    (stored,) = tmp_path.rglob("mine.json")
    assert json.loads(stored.read_text())["auth"] == {"type": "thebase", "raw_auth": ":"}
    assert thebase.client_secret not in stored.read_text()
    answer = http("--session=mine", "--check-status", url, **there)
    assert (answer.code, answer.err) == (0, "")


def test_netrc_is_not_read(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    netrc.chmod(0o600)
    url = thebase.domain + "/v2/users"
    assert (
        http("--auth-type=thebase", "--check-status", url, NETRC=str(netrc), **environment(thebase)).code == 0
    )


# What HTTPie makes of it


def test_a_session_keeps_the_secret_in_plain_text_and_no_token(
    http: Http, thebase: Sandbox, tmp_path: Path
) -> None:
    url = thebase.domain + "/v2/users"
    http(*auth(thebase), "--session=mine", url)
    answer = http("--session=mine", "--check-status", url)

    assert answer.code == 0
    (stored,) = tmp_path.rglob("mine.json")
    session = json.loads(stored.read_text())
    assert session["auth"] == {"type": "thebase", "raw_auth": f"{thebase.client_id}:{thebase.client_secret}"}
    assert session["headers"] == []
    assert "Bearer" not in stored.read_text()
    assert thebase.token_requests == 1


def test_offline_sends_nothing_but_the_token_request_where_no_token_is_kept(
    http: Http, thebase: Sandbox
) -> None:
    for _ in range(2):
        answer = http(*auth(thebase), "--offline", thebase.domain + "/v2/users")
        assert answer.code == 0
        assert "Authorization: Bearer " in answer.out

    assert seen(thebase) == [("/oauth/token", 200)]


def test_the_token_request_takes_its_authority_from_the_environment_alone(
    http: Http, certificates: Certificates
) -> None:
    with Sandbox(ssl_certfile=certificates.certificate, ssl_keyfile=certificates.key) as thebase:
        call = (*auth(thebase), "--check-status", thebase.domain + "/v2/users")
        refused = http(*call, f"--verify={certificates.authority}")
        assert refused.error().startswith("SSLError: ")
        assert "REQUESTS_CA_BUNDLE" in refused.error()
        assert thebase.client_secret not in refused.err
        assert http(*call, REQUESTS_CA_BUNDLE=certificates.authority).code == 0
        # With a token at hand, HTTPie's own option is enough.
        assert http(*call, f"--verify={certificates.authority}").code == 0


def test_a_user_without_a_home_goes_on_without_a_kept_token(http: Http, thebase: Sandbox) -> None:
    homeless = (
        "import platformdirs\n"
        "def nowhere(*_, **__): raise RuntimeError('no home')\n"
        "platformdirs.user_cache_path = nowhere\n"
    )
    for _ in range(2):
        assert http(*auth(thebase), thebase.domain + "/v2/users", before=homeless).code == 0
    assert thebase.token_requests == 2


# What has to be installed


@pytest.mark.parametrize("library", ["filelock", "platformdirs"])
def test_a_missing_library_is_one_line_that_names_the_extra(
    http: Http, thebase: Sandbox, library: str
) -> None:
    missing = f"import sys\nsys.modules[{library!r}] = None\n"
    answer = http(*auth(thebase), thebase.domain + "/v2/users", before=missing)

    assert answer.error().startswith("ImportError: ")
    assert "pip install 'thebase-auth[httpie]'" in answer.error()
    assert thebase.client_secret not in answer.err
    assert seen(thebase) == []


@pytest.mark.skipif(
    "thebase" not in entry_points(group=GROUP).names,
    reason="the package was installed before it had this entry point",
)
def test_httpie_finds_the_auth_type_by_the_entry_point(http: Http, thebase: Sandbox) -> None:
    code = "import sys\nfrom httpie.core import main\nsys.exit(main())\n"
    answer = http(*auth(thebase), "--check-status", thebase.domain + "/v2/users", code=code)

    assert (answer.code, answer.err) == (0, "")
