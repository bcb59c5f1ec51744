"""HTTPie with the auth type `thebase`, run in this process as HTTPie's own tests do."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import requests

from tests.support.sandbox import LEAD
from tests.support.servers import api_server
from thebase_auth.testing import Sandbox

pytestmark = [
    pytest.mark.skipif(find_spec("httpie") is None, reason="needs HTTPie"),
    # Newer versions of Python warn about HTTPie itself.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]

SECRET = "wrong-S3cret"
SIGNED = ("--auth-type=thebase", "--check-status")


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
    """Runs HTTPie, which finds our plugin by its entry point, with a configuration of its own."""
    from httpie.context import Environment  # type: ignore[import-untyped]
    from httpie.core import main  # type: ignore[import-untyped]

    config = tmp_path / "httpie"
    config.mkdir()
    (config / "config.json").write_text('{"disable_update_warnings": true}')  # asks the network

    def run(*arguments: str, stdin: Any = None) -> Run:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        environment = Environment(
            config_dir=config, stdin=stdin, stdin_isatty=False,
            stdout=out, stdout_isatty=False, stderr=err, stderr_isatty=False,
        )  # fmt: skip
        no_stdin = [] if stdin else ["--ignore-stdin"]
        try:
            code = main(["http", *arguments, *no_stdin], environment)
        except Exception:  # with --traceback and --debug
            code = 1
            traceback.print_exc(file=err)
        out.seek(0)
        return Run(code, out.read(), err.getvalue())

    return run


def auth(server: Sandbox) -> str:
    return f"--auth={server.client_id}:{server.client_secret}"


def users(server: Sandbox) -> str:
    return server.domain + "/v2/users"


def seen(server: Sandbox) -> list[tuple[str, int | None]]:
    return [(request.path, request.status) for request in server.received]


# The kept token


def test_token_is_kept_from_run_to_run(http: Http, thebase: Sandbox, tmp_path: Path) -> None:
    call = (*SIGNED, auth(thebase), users(thebase))
    response = http(*call)
    assert (response.code, response.err) == (0, "")
    assert json.loads(response.out)["items"]
    settings = {"HTTPIE_CONFIG_DIR": str(tmp_path / "httpie"), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "httpie", *call, "--ignore-stdin"], capture_output=True,
        env={**os.environ, **settings}, encoding="utf-8", timeout=50, check=False,
    )  # fmt: skip
    assert Run(done.returncode, done.stdout, done.stderr) == response
    assert seen(thebase) == [("/oauth/token", 200), *[("/v2/users", 200)] * 2]


@pytest.mark.parametrize("from_file", [False, True])
def test_revoked_token_is_renewed_and_the_call_replayed(
    http: Http, thebase: Sandbox, tmp_path: Path, from_file: bool
) -> None:
    (tmp_path / "lead.json").write_text(json.dumps(LEAD))
    http(*SIGNED, auth(thebase), users(thebase))
    thebase.revoke_tokens()
    fields = [] if from_file else [f"{key}={value}" for key, value in LEAD.items()]
    with open(tmp_path / "lead.json") as lead:
        call = (*SIGNED, auth(thebase), "POST", thebase.domain + "/v2/leads/create", *fields)
        response = http(*call, stdin=lead if from_file else None)
    assert (response.code, response.err) == (0, "")
    assert json.loads(response.out)["message"] == "הליד נוצר בהצלחה"  # and no 401 before it
    rejected, _, replay = thebase.received[-3:]
    assert (rejected.status, replay.status) == (401, 201)
    assert rejected.body == replay.body == json.dumps(LEAD).encode()
    assert http(*SIGNED, auth(thebase), users(thebase)).code == 0
    assert thebase.token_requests == 2


def test_one_shot_upload_gets_a_fresh_token(http: Http, thebase: Sandbox) -> None:
    http(*SIGNED, auth(thebase), users(thebase))
    thebase.revoke_tokens()
    http(*SIGNED, auth(thebase), "--multipart", "POST", thebase.domain + "/v2/leads/create", "name=a")
    assert thebase.token_requests == 2
    assert seen(thebase)[-1] == ("/v2/leads/create", 415)  # no 401: it got as far as the lead


# The host


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        (
            "http://acme.invalid/v2",
            "PlainHTTPError: nothing was sent, because over http://",
            "write https://",
        ),
        ("https://2130706433/v2", "ValueError: nothing was sent, because the URL", "for example"),
    ],
)
def test_impossible_domain_is_rejected_before_a_request(http: Http, url: str, error: str, text: str) -> None:
    shown = http(*SIGNED, f"--auth=id:{SECRET}", url).error()
    assert shown.startswith(error)
    assert text in shown


@pytest.mark.parametrize("is_given", [True, False])
def test_auth_object_signs_for_its_first_host_only(thebase: Sandbox, is_given: bool) -> None:
    from thebase_auth._httpie import TheBaseAuthPlugin

    given = (thebase.client_id, thebase.client_secret) if is_given else ()
    auth = TheBaseAuthPlugin().get_auth(*given)
    with api_server() as (other, _):
        urls = (users(thebase), other.url, users(thebase))
        assert [requests.get(url, auth=auth).status_code for url in urls] == [200, 401, 200]
        assert [(got.path, got.authorization) for got in other.received] == [("/", None)]
    assert thebase.token_requests == 1
    assert thebase.client_secret not in repr(vars(auth))


# Credentials


@pytest.mark.parametrize("option", ["--debug", "--traceback", "--verbose"])
def test_wrong_secret_is_an_error_and_shown_by_no_option(http: Http, thebase: Sandbox, option: str) -> None:
    rejected = http(*SIGNED, f"--auth={thebase.client_id}:{SECRET}", option, users(thebase))
    assert seen(thebase) == [("/oauth/token", 401)]
    assert "TokenRequestError: the token endpoint of 127.0.0.1:" in rejected.err
    accepted = http(*SIGNED, auth(thebase), option, users(thebase))
    assert (rejected.code, accepted.code) == (1, 0)
    assert SECRET not in rejected.out + rejected.err
    assert thebase.client_secret not in accepted.out + accepted.err


@pytest.mark.parametrize(
    ("credentials", "text"), [("id:", "client secret is empty"), (f":{SECRET}", "client id is empty")]
)
def test_impossible_credentials_are_one_line(
    http: Http, thebase: Sandbox, credentials: str, text: str
) -> None:
    assert http(*SIGNED, f"--auth={credentials}", users(thebase)).error() == f"ValueError: {text}"
    assert seen(thebase) == []


def test_credentials_come_from_auth_or_the_environment(
    http: Http, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    netrc.chmod(0o600)
    for given in [], ["--auth", ":"]:
        response = http(*SIGNED, *given, users(thebase))
        assert (response.code, response.err) == (0, "")
    assert thebase.token_requests == 1
    monkeypatch.setenv("THEBASE_DOMAIN", "acme.invalid")
    assert http(*SIGNED, auth(thebase), users(thebase)).code == 0


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        (
            "THEBASE_DOMAIN",
            "acme.invalid",
            "ValueError: nothing was sent, because the URL leads to {url}, and",
        ),
        ("THEBASE_CLIENT_ID", "", "ValueError: unset or empty in the environment: THEBASE_CLIENT_ID; set "),
    ],
)
def test_environment_that_is_incomplete_or_of_another_domain_is_rejected(
    http: Http, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, value: str, error: str
) -> None:
    monkeypatch.setenv(name, value)
    shown = http(*SIGNED, users(thebase)).error()
    assert shown.startswith(error.format(url=thebase.domain))
    assert shown.endswith("give --auth CLIENT_ID:CLIENT_SECRET")
    assert thebase.client_secret not in shown
    assert thebase.received == ()


# HTTPie's sessions, and its environment


def test_session_stores_neither_the_environment_nor_a_token(
    http: Http, thebase: Sandbox, tmp_path: Path
) -> None:
    for call in (*SIGNED, "--session=mine"), ("--session=mine", "--check-status"):
        response = http(*call, users(thebase))
        assert (response.code, response.err) == (0, "")
    (stored,) = tmp_path.rglob("mine.json")
    session = json.loads(stored.read_text())
    assert (session["auth"], session["headers"]) == ({"type": "thebase", "raw_auth": ":"}, [])
    assert "Bearer" not in stored.read_text()
    assert thebase.token_requests == 1


def test_missing_library_is_one_line(http: Http, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    error = http(*SIGNED, users(thebase)).error()
    assert error == "ImportError: FileTokenCache needs filelock: install the extra 'file'"
    assert seen(thebase) == []
