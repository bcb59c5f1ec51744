"""The commands that speak to a TheBase: check, token, request, sandbox."""

from __future__ import annotations

import gc
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.certificates import Certificates
from tests.support.servers import Server
from thebase_auth._cli import _commands, main
from thebase_auth.testing import Sandbox

LEAD = {"name": "משה", "f_name": "כהן", "phone": "0501234567"}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, thebase: Sandbox, tmp_path: Path) -> None:
    """Settings of the sandbox in the environment, and a cache of this test's own."""
    monkeypatch.setenv("THEBASE_DOMAIN", thebase.domain)
    monkeypatch.setenv("THEBASE_CLIENT_ID", thebase.client_id)
    monkeypatch.setenv("THEBASE_CLIENT_SECRET", thebase.client_secret)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], thebase: Sandbox) -> Run:
    """Run the command; exit code, stdout and stderr. The secret is in neither."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as exit_:
            assert isinstance(exit_.code, int)
            code = exit_.code
        out, err = capsys.readouterr()
        assert thebase.client_secret not in out + err
        return code, out, err

    return run


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "thebase_auth", *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", **options.pop("env", {})},
        timeout=30,
        check=False,
        **options,
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


# check


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
    assert err.startswith(
        "thebase-auth check: wrong client id or client secret: the token endpoint"
    )
    assert err.count("\n") == 1
    assert "dots" not in err
    assert "mistyped" not in err


@pytest.mark.parametrize(
    ("client_id", "secret", "told"),
    [
        (
            "abc",
            "def..",
            " The client id does not end in two dots, as those that TheBase makes do.\n",
        ),
        (
            "abc..",
            "def.",
            " The client secret does not end in two dots, as those that TheBase makes do.\n",
        ),
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
        (401, "<h1>", "text/html", "wrong client id or client secret, or a domain that is no TheBase: "),
        (404, "<h1>", "text/html", "wrong domain: "),
        (200, "<h1>", "text/html", "wrong domain: "),
        (307, "", "text/html", "wrong domain: "),
        (429, "", "text/html", "the settings were not looked at: "),
        (503, "<h1>", "text/html", "the settings were not looked at: "),
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
        "thebase-auth check: wrong domain, or no network: there is no host acme.invalid."
        " Id and secret were not tried\n"
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
    tls = {"ssl_certfile": certificates.certificate, "ssl_keyfile": certificates.key}
    with Sandbox(**tls) as thebase:
        code, _, err = run("check", "--domain", thebase.domain)
    assert code == 3
    assert "cannot prove that it is localhost" in err
    assert "CERTIFICATE_VERIFY_FAILED" in err
    assert "REQUESTS_CA_BUNDLE" in err


def test_an_authority_of_ones_own_is_named_in_the_environment(
    run: Run, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)
    with Sandbox(ssl_certfile=certificates.certificate, ssl_keyfile=certificates.key) as thebase:
        assert run("check", "--domain", thebase.domain)[0] == 0
        assert run("request", "GET", "/v2/users", "--domain", thebase.domain)[0] == 0


def test_a_proxy_that_is_not_there_is_named_as_such(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    code, _, err = run("check", "--domain", "acme.thebase.co.il")
    assert code == 3
    assert "the proxy on the way to acme.thebase.co.il does not let us through: " in err


def test_another_failure_of_the_library_is_told_as_it_is(run: Run) -> None:
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
        (["--timeout", "0"], "argument --timeout: a time is a number of seconds above 0"),
        (["--timeout", "nan"], "argument --timeout: a time is a number of seconds above 0"),
        (["--timeout", "soon"], "argument --timeout: a time is a number of seconds above 0"),
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


# Where the settings come from


@pytest.mark.parametrize(
    ("name", "option"), [("THEBASE_DOMAIN", "--domain"), ("THEBASE_CLIENT_ID", "--client-id")]
)
def test_a_setting_that_is_nowhere_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, option: str
) -> None:
    for value in (None, ""):
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
        code, _, err = run("check")
        assert code == 2
        assert err == f"thebase-auth check: {name} is not set; set it, or give {option}\n"


def test_an_option_goes_before_the_environment(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(thebase.client_secret + "\n")
    for name in ("DOMAIN", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"THEBASE_{name}", "wrong")
    options = ["--domain", thebase.domain, "--client-id", thebase.client_id]
    assert run("check", *options, "--secret-file", str(tmp_path / "secret"))[0] == 0


@pytest.mark.parametrize("client_id", ["-abc..", "-Vz", "_a.."])
@pytest.mark.parametrize("joined", [False, True])
def test_an_id_may_begin_with_a_dash(
    run: Run, thebase: Sandbox, client_id: str, joined: bool
) -> None:
    thebase.client.client_id = client_id
    option = [f"--client-id={client_id}"] if joined else ["--client-id", client_id]
    assert run("check", *option)[0] == 0


def test_an_option_after_an_id_that_is_missing_is_not_taken_for_it(run: Run) -> None:
    code, _, err = run("check", "--client-id", "--timeout", "3")
    assert code == 2
    assert "--client-id" in err


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_secret_is_read_from_a_file(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str, mark: str
) -> None:
    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    path = tmp_path / "secret"
    path.write_bytes(f"{mark}{thebase.client_secret}{end}".encode())
    assert run("check", "--secret-file", str(path))[0] == 0


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe", "cannot be read: it is not UTF-8"),
        (b"", "has 0 lines; it must have one"),
        (b"a\nb\n", "has 2 lines; it must have one"),
    ],
)
def test_a_secret_file_that_cannot_be_it_is_refused(
    run: Run, tmp_path: Path, content: bytes | None, text: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    code, _, err = run("check", "--secret-file", str(path))
    assert code == 2
    assert err == f"thebase-auth check: the secret file {path} {text}\n"


def test_the_secret_is_read_from_stdin(thebase: Sandbox) -> None:
    done = command("check", "--secret-file", "-", input=f"{thebase.client_secret}\n")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_terminal_nobody_is_asked_for_the_secret() -> None:
    done = command("check", env={"THEBASE_CLIENT_SECRET": ""}, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr == (
        "thebase-auth check: there is no client secret; set THEBASE_CLIENT_SECRET, give"
        " --secret-file FILE, or leave it out at a terminal to be asked\n"
    )


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_at_a_terminal_the_secret_is_asked_for_and_not_shown(thebase: Sandbox) -> None:
    import pty

    here, there = pty.openpty()
    with open(there, "rb", buffering=0) as stdin, open(here, "r+b", buffering=0) as terminal:
        asking = subprocess.Popen(
            [sys.executable, "-m", "thebase_auth", "check"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "THEBASE_CLIENT_SECRET": ""},
            start_new_session=True,  # away from the terminal of the tests, if they have one
        )
        assert asking.stderr is not None
        assert asking.stderr.read(len("Client secret: ")) == b"Client secret: "
        terminal.write(f"{thebase.client_secret}\n".encode())
        out, err = asking.communicate(timeout=20)
        assert (asking.returncode, err) == (0, b"\n")
        assert b"granted" in out
        echoed = os.read(here, 1000) if _has_output(here) else b""
        assert thebase.client_secret.encode() not in echoed + out


def _has_output(terminal: int) -> bool:
    import select

    return bool(select.select([terminal], [], [], 0)[0])


@pytest.mark.parametrize("name", ["check", "token", "request GET /v2/users"])
@pytest.mark.parametrize(
    "given",
    [
        "--client-secret hunter2",
        "--client-secret=hunter2",
        "--secret hunter2",
        "--password hunter2",
        "--client-secret",
    ],
)
def test_the_secret_is_not_taken_from_an_argument(
    run: Run, thebase: Sandbox, name: str, given: str
) -> None:
    code, out, err = run(*name.split(), *given.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "the client secret is not taken from an argument" in err
    assert "--secret-file" in err
    assert "hunter2" not in err
    assert thebase.received == ()


@pytest.mark.parametrize(
    "given", ["hunter2", "--secrte=hunter2", "--secrte hunter2", "--sec hunter2"]
)
def test_an_argument_that_is_not_understood_is_not_repeated(run: Run, given: str) -> None:
    code, _, err = run("check", *given.split())
    assert code == 2
    assert "hunter2" not in err
    if given.startswith("--"):
        assert given.partition("=")[0].partition(" ")[0] in err


# token


def test_token_prints_a_token_alone(run: Run, thebase: Sandbox) -> None:
    code, out, err = run("token")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"[\w-]{22}\n", out)
    headers = {"Authorization": f"Bearer {out.strip()}"}
    assert requests.get(f"{thebase.domain}/v2/users", headers=headers, timeout=5).status_code == 200


def test_token_prints_a_header_field_for_curl(run: Run) -> None:
    assert re.fullmatch(r"Authorization: Bearer [\w-]{22}\n", run("token", "--header")[1])


def test_a_token_is_kept_from_run_to_run_for_its_user_alone(
    run: Run, thebase: Sandbox, tmp_path: Path
) -> None:
    first = run("token")[1]
    assert run("token")[1] == first
    assert run("request", "GET", "/v2/users")[0] == 0
    assert thebase.token_requests == 1
    [kept] = (tmp_path / "cache").rglob("tokens.json")
    if os.name == "posix":
        assert kept.stat().st_mode & 0o777 == 0o600

    assert run("token", "--no-cache")[1] != first
    assert run("token")[1] == first
    assert thebase.token_requests == 2

    second = run("token", "--new")[1]
    assert second != first
    assert run("token")[1] == second
    assert thebase.token_requests == 3


def test_token_warns_where_a_terminal_would_show_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = run("token")
    assert code == 0
    assert re.fullmatch(r"[\w-]{22}\n", out)
    assert err.startswith("thebase-auth token: whoever sees this can use it until it ends")


def test_a_failure_prints_no_token(run: Run, thebase: Sandbox) -> None:
    thebase.answer_next("/oauth/token", 503)
    code, out, _ = run("token")
    assert (code, out) == (1, "")


# request


def test_request_prints_the_answer_set_for_reading(run: Run, thebase: Sandbox) -> None:
    code, out, err = run("request", "get", "/v2/users?limit=1")
    assert (code, err) == (0, "GET /v2/users?limit=1: 200 OK\n")
    assert json.loads(out)["items"][0]["name"] == "משה"
    assert '\n  "items": [\n    {\n      "id": "253960413951646409173244928790043995930",\n' in out
    assert "משה" in out


@pytest.mark.parametrize("path", ["/v2/leads/create", "v2/leads/create"])
def test_request_sends_json(run: Run, thebase: Sandbox, path: str) -> None:
    code, out, err = run("request", "POST", path, "--json", json.dumps(LEAD, ensure_ascii=False))
    assert (code, err) == (0, f"POST {path}: 201 Created\n")
    assert json.loads(out)["message"] == "הליד נוצר בהצלחה"
    [sent] = thebase.assert_received("POST /v2/leads/create", times=1, json=LEAD)
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["accept"] == "application/json"


def test_request_sends_json_from_a_file_or_stdin(
    run: Run, thebase: Sandbox, tmp_path: Path
) -> None:
    content = json.dumps(LEAD, indent=4).encode()
    (tmp_path / "lead.json").write_bytes(content)
    assert (
        run("request", "POST", "/v2/leads/create", "--json", f"@{tmp_path / 'lead.json'}")[0] == 0
    )
    done = command("request", "POST", "/v2/leads/create", "--json", "-", input=content.decode())
    assert done.returncode == 0
    first, second = thebase.assert_received("POST /v2/leads/create", times=2, status=201)
    assert first.body == second.body == content  # as it is, byte for byte


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ('{"a', "thebase-auth request: what --json gives is not JSON in UTF-8: "),
        ('{"a": NaN}', "thebase-auth request: what --json gives is not JSON in UTF-8: NaN is no"),
        ('"\udcf9"', "thebase-auth request: what --json gives is not JSON in UTF-8: "),
        ("[" * 100_000, "thebase-auth request: what --json gives is not JSON in UTF-8: "),
        ("@missing.json", "thebase-auth request: [Errno 2] No such file or directory: 'missing.json'"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_json_is_not_sent(
    run: Run, thebase: Sandbox, given: str, text: str
) -> None:
    code, out, err = run("request", "POST", "/v2/leads/create", "--json", given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(text)
    assert thebase.received == ()


def test_stdin_is_read_for_one_thing_alone(run: Run) -> None:
    code, _, err = run("request", "POST", "/v2/x", "--json", "-", "--secret-file", "-")
    assert code == 2
    assert err == "thebase-auth request: --json and --secret-file cannot both be read from stdin\n"


@pytest.mark.parametrize("path", ["https://other.example/v2/users", "http://127.0.0.1/v2/users"])
def test_a_url_is_no_path(run: Run, thebase: Sandbox, path: str) -> None:
    code, _, err = run("request", "GET", path)
    assert (code, thebase.received) == (2, ())
    assert err == "thebase-auth request: PATH is what follows the domain, such as /v2/users\n"


@pytest.mark.parametrize(
    "path",
    [
        "/v2/users?next=https://a.example",
        "//other.example/v2/users",
        "@other.example/",
        "\\\\other.example",
    ],
)
def test_nothing_in_a_path_leads_elsewhere(run: Run, thebase: Sandbox, path: str) -> None:
    run("request", "GET", path)
    assert [one.path for one in thebase.received][:1] == ["/oauth/token"]
    assert len(thebase.received) == 2  # it came to this host, whatever it asked


def test_an_answer_of_400_or_more_is_printed_and_exit_code_1(run: Run, thebase: Sandbox) -> None:
    code, out, err = run("request", "POST", "/v2/leads/create", "--json", "{}")
    assert (code, err) == (1, "POST /v2/leads/create: 400 Bad Request\n")
    assert json.loads(out)["message"] == "name is required"


def test_an_empty_answer_is_told_by_its_status(run: Run, thebase: Sandbox) -> None:
    thebase.answer_next("DELETE *", 200)
    assert run("request", "DELETE", "/v2/products/1") == (0, "", "DELETE /v2/products/1: 200 OK\n")


def test_a_redirect_is_told_and_not_followed(run: Run, thebase: Sandbox) -> None:
    thebase.redirect_next("GET /v2/users", "https://elsewhere.example/", 302)
    told = "GET /v2/users: 302 Found, to https://elsewhere.example/\n"
    assert run("request", "GET", "/v2/users") == (0, "", told)


def test_what_is_no_json_is_printed_without_what_commands_a_terminal(
    run: Run, thebase: Sandbox
) -> None:
    thebase.answer_next("GET *", 502, "<h1>שגיאה\x1b[2J\n</h1>\t.", "text/html; charset=utf-8")
    code, out, _ = run("request", "GET", "/v2/users")
    assert (code, out) == (1, "<h1>שגיאה\N{REPLACEMENT CHARACTER}[2J\n</h1>\t.\n")


def test_a_token_that_has_died_is_renewed(run: Run, thebase: Sandbox) -> None:
    run("token")
    thebase.revoke_tokens()
    assert run("request", "POST", "/v2/leads/create", "--json", json.dumps(LEAD))[0] == 0
    assert [str(one) for one in thebase.received] == [
        "POST /oauth/token 200",
        "POST /v2/leads/create 401",
        "POST /oauth/token 200",
        "POST /v2/leads/create 201",
    ]
    assert run("request", "GET", "/v2/users")[0] == 0
    assert thebase.token_requests == 2


def test_a_connection_that_breaks_is_no_answer(run: Run, thebase: Sandbox) -> None:
    thebase.drop_next("GET /v2/users")
    code, out, err = run("request", "GET", "/v2/users")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert err.startswith("thebase-auth request: no connection to 127.0.0.1:")


def test_a_reader_that_has_seen_enough_is_no_error(thebase: Sandbox) -> None:
    thebase.answer_next("GET *", 200, json.dumps(["a" * 100] * 10_000))
    running = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "thebase_auth", "request", "GET", "/v2/users"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.read(1) == b"["
    running.stdout.close()
    assert running.stderr.read() == b"GET /v2/users: 200 OK\n"
    running.stderr.close()
    assert running.wait(20) == 0


def test_hebrew_is_escaped_where_the_output_has_no_place_for_it() -> None:
    done = command(
        "request", "GET", "/v2/users", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    )
    assert (done.returncode, done.stderr) == (0, "GET /v2/users: 200 OK\n")
    assert r"\u05de\u05e9\u05d4" in done.stdout


# Progress


@contextmanager
def impatient(monkeypatch: pytest.MonkeyPatch, thebase: Sandbox) -> Iterator[list[str]]:
    """Every wait is long; token requests are answered once something has been said of it."""
    said: list[str] = []
    real = sys.stderr.write
    spoken = threading.Event()

    def write(text: str) -> int:
        said.append(text)
        if "waiting for" in text:
            spoken.set()
        return real(text)

    monkeypatch.setattr(_commands, "_PATIENCE", 0)
    monkeypatch.setattr(sys.stderr, "write", write)
    hold = thebase.hold_token_requests()
    hold.__enter__()

    def let_go() -> None:
        spoken.wait(10)
        hold.__exit__(None, None, None)

    waiting = threading.Thread(target=let_go)
    waiting.start()
    yield said
    waiting.join()
    assert spoken.is_set()


def test_a_long_wait_is_told_of_in_a_line_where_there_is_no_terminal(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with impatient(monkeypatch, thebase):
        code, out, err = run("token")
    assert (code, len(out)) == (0, 23)
    assert err == f"waiting for {thebase.domain.removeprefix('http://')}\n"


def test_a_long_wait_is_shown_moving_at_a_terminal_and_leaves_nothing(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with impatient(monkeypatch, thebase):
        code, _, err = run("token")
    assert code == 0
    assert "waiting for" in err
    assert err.endswith("\x1b[2K")  # the line is erased


def test_a_short_wait_is_not_told_of(run: Run) -> None:
    assert run("token")[2] == ""
    assert not [one for one in threading.enumerate() if isinstance(one, threading.Timer)]


# sandbox


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C by a signal")
def test_the_sandbox_runs_until_ctrl_c_and_tells_of_each_request() -> None:
    port = free_port()
    arguments = ["sandbox", "--port", str(port), "--expires-in", "7"]
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "thebase_auth", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
    ) as running:
        try:
            assert running.stdout is not None
            assert running.stderr is not None
            shown = "".join(running.stdout.readline() for _ in range(12))
            settings, limited = (
                dict(re.findall(r"^  export (\w+)=(.+)$", part, re.MULTILINE))
                for part in shown.split("A client that may not delete:")
            )
            assert settings["THEBASE_DOMAIN"] == f"http://127.0.0.1:{port}"
            assert "good for 7 seconds" in command("check", env=settings).stdout
            done = command("request", "DELETE", "/v2/products/1", env={**settings, **limited})
            assert (done.returncode, '"code": "Unauthorized"' in done.stdout) == (1, True)
            skipped = [running.stdout.readline() for _ in range(5)]
            assert skipped[-1].endswith(" DELETE /v2/products/1 401\n")
            done = command("request", "GET", "/v2/א%1b", "--no-cache", env=settings)
            assert done.returncode == 1
            lines = [running.stdout.readline() for _ in range(2)]
            assert re.fullmatch(r"\d\d:\d\d:\d\d POST /oauth/token 200\n", lines[0])
            assert lines[1].endswith(" GET /v2/א? 404\n")
            running.send_signal(signal.SIGINT)
            assert running.wait(10) == 0
            assert running.stderr.read() == ""
        finally:
            running.kill()


def test_a_port_that_is_taken_is_one_line(run: Run, thebase: Sandbox) -> None:
    code, out, err = run("sandbox", "--port", thebase.domain.rpartition(":")[2])
    assert (code, out, err.count("\n")) == (2, "", 1)
    port = thebase.domain.rpartition(":")[2]
    assert err == f"thebase-auth sandbox: port {port}: Address already in use\n"


@pytest.mark.parametrize(
    "wrong",
    [
        "--port=-1",
        "--port=65536",
        "--port=a",
        "--port=",
        "--expires-in=-5",
        "--expires-in=nan",
        "--expires-in=inf",
    ],
)
def test_a_sandbox_that_cannot_be_is_refused(run: Run, wrong: str) -> None:
    code, out, err = run("sandbox", wrong)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert wrong.partition("=")[0] in err


def test_a_server_without_tls_is_told_as_such(run: Run, thebase: Sandbox) -> None:
    code, _, err = run("check", "--domain", thebase.domain.replace("http:", "https:"))
    assert code == 3
    assert "answers without TLS; only on loopback may it be named with http://" in err


@pytest.mark.parametrize("arguments", ["check", "token", "request GET /v2/users"])
def test_a_reader_that_is_gone_from_the_start_is_no_error(arguments: str) -> None:
    """As in ``thebase-auth request ... | head -0``."""
    end_to_read, end_to_write = os.pipe()
    os.close(end_to_read)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "thebase_auth", *arguments.split()],
            stdout=end_to_write,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
    finally:
        os.close(end_to_write)
    told = "GET /v2/users: 200 OK\n" if arguments.startswith("request") else ""
    assert (done.returncode, done.stderr) == (0, told)


def test_output_may_go_to_any_text_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["check"]) == 0
    assert "granted" in out.getvalue()


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C by a signal")
def test_ctrl_c_during_a_call_ends_quietly(thebase: Sandbox) -> None:
    with thebase.hold_token_requests():
        running = subprocess.Popen(
            [sys.executable, "-m", "thebase_auth", "check"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        thebase.wait_for_token_requests(1)
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=20) == (b"", b"")
        assert running.returncode == 130


# Streams that are closed, or whose reader has gone


def in_a_shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with a redirection as a shell has it."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-W", "error", "-m",
         "thebase_auth", *arguments],
        capture_output=True, encoding="utf-8", timeout=30, check=False,
    )  # fmt: skip


posix = pytest.mark.skipif(os.name != "posix", reason="needs a shell of POSIX")


@posix
@pytest.mark.parametrize("arguments", ["check", "token", "request GET /v2/users"])
def test_stdout_may_be_closed(arguments: str) -> None:
    done = in_a_shell(">&-", *arguments.split())
    told = "GET /v2/users: 200 OK\n" if arguments.startswith("request") else ""
    assert (done.returncode, done.stdout, done.stderr) == (0, "", told)


@posix
def test_stderr_may_be_closed_and_nothing_of_it_gets_to_stdout() -> None:
    done = in_a_shell("2>&-", "request", "GET", "/v2/users")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["count"] == 2
    assert in_a_shell("2>&-", "check", "--client-id", "wrong").returncode == 1


@posix
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("check", "there is no client secret; "),
        ("check --secret-file -", "the secret file - has 0 lines; "),
        ("request POST /v2/x --json - --client-id a..", "what --json gives is not JSON in UTF-8: "),
    ],
)
def test_stdin_may_be_closed(monkeypatch: pytest.MonkeyPatch, arguments: str, text: str) -> None:
    if "--json" not in arguments:
        monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    done = in_a_shell("<&-", *arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"thebase-auth {arguments.split(maxsplit=1)[0]}: {text}")
    assert done.stderr.count("\n") == 1


def test_the_exit_code_tells_where_nobody_reads_the_error() -> None:
    end_to_read, end_to_write = os.pipe()
    os.close(end_to_read)
    done = subprocess.run(
        [sys.executable, "-m", "thebase_auth", "check", "--domain", f"127.0.0.1:{free_port()}"],
        stdout=subprocess.DEVNULL,
        stderr=end_to_write,
        timeout=30,
        check=False,
    )
    os.close(end_to_write)
    assert done.returncode == 3


@posix
def test_the_sandbox_answers_on_when_nobody_reads_what_it_tells() -> None:
    port = free_port()
    running = subprocess.Popen(
        [sys.executable, "-m", "thebase_auth", "sandbox", "--port", str(port)],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    with running:
        assert running.stdout is not None
        for _ in range(12):
            running.stdout.readline()
        running.stdout.close()
        url = f"http://127.0.0.1:{port}/v2/users"
        assert [requests.get(url, timeout=5).status_code for _ in range(2)] == [401, 401]
        running.send_signal(signal.SIGINT)
    assert running.returncode == 0


# Odd answers


@pytest.mark.parametrize("expires_in", [1e300, 10**12, 1e15])
def test_a_token_that_outlives_everybody_is_told_of_without_a_date(
    run: Run, thebase: Sandbox, expires_in: float
) -> None:
    thebase.expires_in = expires_in
    code, out, err = run("check")
    assert (code, err) == (0, "")
    assert re.search(r"good for \d+ seconds\n", out)


def test_a_token_that_is_good_for_days_is_told_of_with_the_date(run: Run, thebase: Sandbox) -> None:
    thebase.expires_in = 5 * 24 * 3600
    assert re.search(r"432000 seconds, until \d{4}-\d\d-\d\d \d\d:\d\d\n", run("check")[1])


@pytest.mark.parametrize(
    ("status", "body", "blame"),
    [
        (400, '{"error": "unsupported_grant_type"}', "the settings were not looked at: "),
        (400, '{"error": "invalid_request"}', "the settings were not looked at: "),
        (407, "", "a proxy on the way does not let us through: "),
    ],
)
def test_check_blames_neither_id_nor_secret_for_what_is_not_theirs(
    run: Run, thebase: Sandbox, status: int, body: str, blame: str
) -> None:
    thebase.answer_next("/oauth/token", status, body)
    assert run("check")[2].startswith(f"thebase-auth check: {blame}")


def answering(*raw: bytes) -> Any:
    """A server that answers each connection with these bytes, whatever they are."""

    @contextmanager
    def serving() -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                for answer in raw:
                    connection = listener.accept()[0]
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            thread.join(10)

    return serving()


def test_what_is_no_http_commands_no_terminal(run: Run) -> None:
    with answering(b"\x1b]0;EVIL\x07\x1b[31m\r\n\r\n") as domain:
        code, _, err = run("check", "--domain", domain)
    assert (code, err.count("\n")) == (3, 1)
    assert "\x1b" not in err
    assert "\x07" not in err


def test_json_commands_no_terminal(run: Run, thebase: Sandbox) -> None:
    odd = {"a": "x\x9b31m\x7f\u202e\U000e0001 שלום 💫"}
    thebase.answer_next("GET *", 200, json.dumps(odd, ensure_ascii=False))
    out = run("request", "GET", "/v2/users")[1]
    assert json.loads(out) == odd
    assert r"x\u009b31m\u007f\u202e\udb40\udc01 שלום 💫" in out


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        ("שלום", "text/html", "שלום"),
        ("שלום", "text/html; charset=utf-8", "שלום"),
        ("שלום".encode("cp1255"), "text/html; charset=windows-1255", "שלום"),
        ("שלום", "text/html; charset=undefined", "שלום"),
        ("שלום", "text/html; charset=nonsense", "שלום"),
        (b"\xff", "text/html", "\N{REPLACEMENT CHARACTER}"),
        ("[" * 100_000, "application/json", "[" * 100_000),
    ],
    ids=["no charset", "UTF-8", "windows-1255", "undefined", "nonsense", "no text", "depth"],
)
def test_text_is_shown_in_the_encoding_that_it_is_in(
    run: Run, thebase: Sandbox, body: str | bytes, content_type: str, shown: str
) -> None:
    thebase.answer_next("GET *", 200, body, content_type)
    assert run("request", "GET", "/v2/users")[1] == f"{shown}\n"


# requests leaves the connection to the collector when it fails so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_redirect_that_cannot_be_read_is_no_answer(run: Run, thebase: Sandbox) -> None:
    thebase.redirect_next("GET *", "/\xe9")
    code, out, err = run("request", "GET", "/v2/users")
    gc.collect()
    assert (code, out) == (3, "")
    assert "cannot be read: " in err


def test_at_a_terminal_json_is_in_colours_and_a_long_one_is_not_waited_for(
    run: Run, thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    thebase.answer_next("GET *", 200, json.dumps({"a": [1]}))
    thebase.answer_next("GET *", 200, json.dumps(["a" * 100_000]))
    assert "\x1b[" in run("request", "GET", "/v2/users")[1]
    assert "\x1b[" not in run("request", "GET", "/v2/users")[1]


# Odd settings


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_goes_out_in_utf_8_without_a_mark_or_not_at_all(
    run: Run, thebase: Sandbox, tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "lead.json"
    path.write_text(json.dumps(LEAD, ensure_ascii=False), encoding)
    code = run("request", "POST", "/v2/leads/create", "--json", f"@{path}")[0]
    assert code == (0 if encoding == "utf-8-sig" else 2)
    sent = [one.body for one in thebase.calls("POST /v2/leads/create")]
    assert sent == ([json.dumps(LEAD, ensure_ascii=False).encode()] if code == 0 else [])


def test_a_secret_from_stdin_may_begin_with_a_mark(
    thebase: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = f"\ufeff{thebase.client_secret}\n"
    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    assert command("check", "--secret-file", "-", input=secret).returncode == 0


@pytest.mark.parametrize("option", ["--domain", "--client-id"])
def test_an_option_that_is_empty_is_not_taken_from_the_environment(
    run: Run, thebase: Sandbox, option: str
) -> None:
    code, _, err = run("check", option, "")
    assert (code, err.count("\n"), thebase.received) == (2, 1, ())
    assert "is empty" in err


@pytest.mark.parametrize("given", ["", "--secret-file -"])
def test_who_gives_no_secret_at_the_prompt_is_told_how_to(
    run: Run, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    def nothing(_: str) -> str:
        raise EOFError  # Ctrl-D

    monkeypatch.delenv("THEBASE_CLIENT_SECRET")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", nothing)
    code, out, err = run("check", *given.split())
    assert (code, out) == (2, "")
    assert err.startswith("thebase-auth check: there is no client secret; set ")


def test_an_id_may_begin_with_two_dashes(run: Run, thebase: Sandbox) -> None:
    thebase.client.client_id = "--abc.."
    assert run("check", "--client-id", "--abc..")[0] == 0


@pytest.mark.parametrize("value", ["1e10", "1e300", "inf"])
def test_a_time_that_no_machine_can_wait_is_refused(run: Run, value: str) -> None:
    code, _, err = run("check", "--timeout", value)
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("option", ["--client-secret", "--secret", "--password"])
def test_the_secret_is_not_taken_from_an_argument_before_the_command_either(
    run: Run, option: str
) -> None:
    for given in ([option, "hunter2"], [f"{option}=hunter2"]):
        code, out, err = run(*given, "check")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "the client secret is not taken from an argument" in err
        assert "hunter2" not in err


@pytest.mark.parametrize("arguments", ["hunter2 check", "token --no-cache=hunter2"])
def test_what_is_given_in_the_wrong_place_is_not_repeated(run: Run, arguments: str) -> None:
    code, _, err = run(*arguments.split())
    assert (code, err.count("\n")) == (2, 1)
    assert "hunter2" not in err


@pytest.mark.parametrize("name", ["check", "token", "request GET /v2/users"])
def test_what_is_not_encrypted_does_not_leave_this_machine_for_a_proxy(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    assert run(*name.split())[0] == 0


def test_a_user_without_a_home_goes_on_without_a_kept_token(
    run: Run, monkeypatch: pytest.MonkeyPatch, thebase: Sandbox
) -> None:
    def nowhere(*_: object, **__: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_cache_path", nowhere)
    for name in ("token", "request GET /v2/users"):
        code, _, err = run(*name.split())
        assert code == 0
        assert "the token is not kept: Could not determine home directory.\n" in err
    assert thebase.token_requests == 2


def test_ctrl_c_while_the_arguments_are_read_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thebase_auth._cli._parse", interrupted)
    assert main(["check"]) == 130
    assert capsys.readouterr() == ("", "")
