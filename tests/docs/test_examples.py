"""The examples, run as their readers run them: in a process of their own, over real sockets."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import pytest

from tests.support import ROOT
from thebase_auth.testing import ReceivedRequest, Sandbox

EXAMPLES = ROOT / "examples"
SCRIPT = EXAMPLES / "import_leads.py"
CREATE = "POST /v2/leads/create"
TOKEN = "POST /oauth/token"

Lead = dict[str, str]
COLUMNS = ("name", "f_name", "phone", "city")
LEADS: list[Lead] = [
    {"name": f"ליד {n}", "f_name": "דנה", "phone": f"050123456{n}", "city": "תל אביב"} for n in range(1, 7)
]  # on lines 2 to 7

# With a time limit that a test can wait for.
IN_A_HURRY = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import import_leads
import_leads.TIMEOUT = 0.2
sys.exit(import_leads.main())
"""

WITHOUT_UVICORN = """
import runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name == "uvicorn":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def as_csv(leads: Sequence[Lead], columns: Sequence[str] = COLUMNS) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(leads)
    return text.getvalue()


@pytest.fixture
def leads_csv(tmp_path: Path) -> Path:
    """The leads as Excel saves them, with a byte order mark."""
    path = tmp_path / "leads.csv"
    path.write_bytes(as_csv(LEADS).encode("utf-8-sig"))
    return path


def start(
    *arguments: object,
    thebase: Sandbox | None = None,
    domain: str = "",
    stdout: int | TextIO = subprocess.PIPE,
) -> subprocess.Popen[str]:
    settings = {"PYTHONUTF8": "1"}
    if thebase is not None:
        settings |= {
            "THEBASE_DOMAIN": domain or thebase.domain,
            "THEBASE_CLIENT_ID": thebase.client_id,
            "THEBASE_CLIENT_SECRET": thebase.client_secret,
        }
    others = {name: value for name, value in os.environ.items() if not name.startswith("THEBASE_")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=others | settings,
    )


def end(process: subprocess.Popen[str], thebase: Sandbox | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, in which there is no traceback and nothing secret."""
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    text = out + err
    assert "Traceback" not in text
    if thebase is not None:
        assert thebase.client_secret not in text
        for request in thebase.received:
            credentials = request.headers.get("authorization", "").partition(" ")[2]
            assert not credentials or credentials not in text
    return process.returncode, out, err


def run(*arguments: object, thebase: Sandbox | None = None, domain: str = "") -> tuple[int, str, str]:
    return end(start(SCRIPT, *arguments, thebase=thebase, domain=domain), thebase)


def messages(err: str) -> list[str]:
    """What stderr says beside the progress bar."""
    return [line for line in err.splitlines() if line.strip() and "Importing" not in line]


def created(thebase: Sandbox) -> list[Lead]:
    return [json.loads(call.body) for call in thebase.calls(CREATE) if call.status == 201]


def after(counts: set[int], act: Callable[[Sandbox], object]) -> Sandbox:
    """A sandbox to which something happens when so many leads are created, before the next request."""

    def watch(request: ReceivedRequest) -> None:
        is_lead = request.path == CREATE.partition(" ")[2] and request.status == 201
        if is_lead and len(created(thebase)) in counts:
            act(thebase)

    thebase = Sandbox(on_request=watch)
    return thebase


# Tokens


@pytest.mark.parametrize("counts", [{3}, {1, 2, 5}], ids=str)
def test_each_lead_is_created_once_although_tokens_end_in_the_middle(
    leads_csv: Path, counts: set[int]
) -> None:
    with after(counts, Sandbox.revoke_tokens) as thebase:
        code, out, err = run(leads_csv, thebase=thebase)

    assert (code, out) == (0, "6 leads created, 0 refused\n")
    assert err.startswith("Importing")
    assert messages(err) == []
    assert created(thebase) == LEADS
    statuses = [call.status for call in thebase.calls(CREATE)]
    assert (statuses.count(201), statuses.count(401)) == (len(LEADS), len(counts))
    assert thebase.token_requests == 1 + len(counts)
    assert {call.headers["accept"] for call in thebase.calls(CREATE)} == {"application/json"}


# The file


def test_the_leads_of_the_example_go_into_a_sandbox_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    code, out, err = run(EXAMPLES / "leads.csv", "--sandbox")

    assert (code, out) == (0, "5 leads created, 0 refused\n")
    assert err.startswith("Importing")
    assert messages(err) == []


def test_the_example_is_sent_as_it_is_written(thebase: Sandbox) -> None:
    assert run(EXAMPLES / "leads.csv", thebase=thebase)[0] == 0

    with (EXAMPLES / "leads.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    sent = created(thebase)
    assert sent == [{name: value for name, value in row.items() if value} for row in rows]
    assert sent[3]["name"] == 'חברת "אור" בע״מ'
    assert "\n" in sent[3]["comment"]


def test_a_file_in_windows_1255(thebase: Sandbox, leads_csv: Path) -> None:
    leads_csv.write_bytes(as_csv(LEADS).encode("windows-1255"))

    code, out, err = run(leads_csv, thebase=thebase)
    assert (code, out) == (2, "")
    assert "leads.csv is not utf-8-sig; try --encoding windows-1255" in err
    assert thebase.received == ()

    code, _, _ = run(leads_csv, "--encoding", "windows-1255", thebase=thebase)
    assert code == 0
    assert created(thebase) == LEADS


@pytest.mark.parametrize("empty", ["\r\n", ",,,\r\n"])
def test_empty_lines_are_passed_over_and_counted(thebase: Sandbox, leads_csv: Path, empty: str) -> None:
    without_a_phone = {**LEADS[3], "phone": ""}
    lines = as_csv([*LEADS[:3], without_a_phone]).splitlines(keepends=True)
    leads_csv.write_text("".join([*lines[:2], empty, *lines[2:4], empty, lines[4]]), newline="")

    code, out, err = run(leads_csv, thebase=thebase)
    assert (code, out) == (1, "3 leads created, 1 refused\n")
    assert messages(err) == ["line 7 refused: phone is required"]
    assert created(thebase) == LEADS[:3]
    assert len(thebase.calls(CREATE)) == 4


ROW = "ליד,דנה,0501234567"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name,email\nליד,a@example.com\n", "leads.csv has no column f_name, phone"),
        (f"name;f_name;phone\n{ROW}\n", "leads.csv has no column name, f_name, phone"),
        ("", "leads.csv has no column name, f_name, phone"),
        (f"name,f_name,phone\n{ROW}\n{ROW},more\n", "leads.csv, line 3: more values than columns"),
        (f'name,f_name,phone\n{ROW}\n"{ROW}\n{ROW}\n', "leads.csv, after line 2: unexpected end"),
    ],
    ids=["two columns missing", "semicolons", "empty", "too many values", "open quote"],
)
def test_a_file_that_cannot_be_right_is_refused_before_anything_is_sent(
    thebase: Sandbox, leads_csv: Path, text: str, complaint: str
) -> None:
    leads_csv.write_text(text, "utf-8")
    code, out, err = run(leads_csv, thebase=thebase)

    assert (code, out) == (2, "")
    assert complaint in err
    assert thebase.received == ()


def test_a_file_that_is_not_there_and_an_encoding_that_is_none(thebase: Sandbox, leads_csv: Path) -> None:
    for arguments, complaint in (
        ([leads_csv.with_name("other.csv")], "No such file"),
        ([leads_csv, "--encoding", "hebrew-2000"], "unknown encoding: hebrew-2000"),
    ):
        code, out, err = run(*arguments, thebase=thebase)
        assert (code, out) == (2, "")
        assert complaint in err
    assert thebase.received == ()


# What TheBase says


def test_a_refused_row_is_reported_and_the_others_are_created(thebase: Sandbox, leads_csv: Path) -> None:
    rows = [LEADS[0], {**LEADS[1], "phone": ""}, LEADS[2], {**LEADS[3], "f_name": ""}, LEADS[4]]
    leads_csv.write_bytes(as_csv(rows).encode("utf-8-sig"))
    code, out, err = run(leads_csv, thebase=thebase)

    assert (code, out) == (1, "3 leads created, 2 refused\n")
    assert messages(err) == ["line 3 refused: phone is required", "line 5 refused: f_name is required"]
    assert created(thebase) == [LEADS[0], LEADS[2], LEADS[4]]
    assert len(thebase.calls(CREATE)) == 5


def test_a_refusal_takes_one_line_whatever_it_is(thebase: Sandbox, leads_csv: Path) -> None:
    page = "<h1>Bad Request</h1>"
    problem = json.dumps({"message": "ORA-20001: [red]no\n  ORA-06512: at line 1"})
    for body in (problem, page, "[]", '"text"', ""):
        thebase.answer_next(CREATE, 400, body)
    code, out, err = run(leads_csv, thebase=thebase)

    assert (code, out) == (1, "1 leads created, 5 refused\n")
    assert messages(err) == [
        "line 2 refused: ORA-20001: [red]no ORA-06512: at line 1",
        *(f"line {line} refused: Bad Request" for line in range(3, 7)),
    ]


def answering(status: int, times: int = 1) -> Callable[[Sandbox], object]:
    def act(thebase: Sandbox) -> None:
        headers = {"Location": "/v2/users"} if status == 302 else None
        thebase.answer_next(CREATE, status, "<h1>no</h1>", "text/html", headers=headers, times=times)

    return act


def refusing_a_token(thebase: Sandbox) -> None:
    thebase.revoke_tokens()
    thebase.answer_next(TOKEN, 503, "<h1>Service Unavailable</h1>", "text/html")


def dropping_the_token_request(thebase: Sandbox) -> None:
    thebase.revoke_tokens()
    thebase.drop_next(TOKEN)


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (answering(401, times=2), "TheBase answered 401: Unauthorized"),
        (answering(404), "TheBase answered 404: Not Found"),
        (answering(429), "TheBase answered 429: Too Many Requests"),
        (answering(302), "TheBase answered 302: Found"),
        (refusing_a_token, "the token endpoint of 127.0.0.1"),
        (dropping_the_token_request, "ConnectionError: ('Connection aborted.'"),
    ],
    ids=["401", "404", "429", "302", "no token", "token request dropped"],
)
def test_it_stops_at_a_lead_that_was_not_created_and_can_go_on_with_it(
    leads_csv: Path, trouble: Callable[[Sandbox], object], why: str
) -> None:
    with after({3}, trouble) as thebase:
        code, out, err = run(leads_csv, thebase=thebase)
        assert (code, out) == (1, "3 leads created, 0 refused\n")
        last = messages(err)[-1]
        assert last.startswith(f"stopped at line 5: {why}")
        assert last.endswith("Go on with --from-line 5.")
        assert "may or may not" not in last
        assert created(thebase) == LEADS[:3]

        code, out, _ = run(leads_csv, "--from-line", 5, thebase=thebase)
        assert (code, out) == (0, "3 leads created, 0 refused\n")
    assert created(thebase) == LEADS


def escaping(thebase: Sandbox) -> None:
    """Refuse a lead with a message that would command a terminal, and have no end of depth the next time."""
    thebase.answer_next(CREATE, 400, json.dumps({"message": "no\x1b[31m\x07 good"}))
    thebase.answer_next(CREATE, 400, "[" * 100_000)


def test_what_a_server_says_is_reported_in_one_line_without_commands_to_the_terminal(leads_csv: Path) -> None:
    with after({1}, escaping) as thebase:
        code, out, err = run(leads_csv, thebase=thebase)
    assert (code, out) == (1, "4 leads created, 2 refused\n")
    assert messages(err) == ["line 3 refused: no?[31m? good", "line 4 refused: Bad Request"]


def test_a_redirect_that_requests_cannot_read_stops_it_with_the_line_reported(leads_csv: Path) -> None:
    with after({2}, lambda thebase: thebase.redirect_next(CREATE, "http://[::1/x")) as thebase:
        code, _, err = run(leads_csv, thebase=thebase)
    assert code == 1
    [line] = messages(err)
    assert line.startswith("stopped at line 4: ")
    assert "Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_the_line_to_go_on_with_is_reported_even_where_the_summary_cannot_be(leads_csv: Path) -> None:
    with after({2}, answering(503)) as thebase, Path("/dev/full").open("w") as full:
        process = start(SCRIPT, leads_csv, thebase=thebase, stdout=full)
        err = process.communicate(timeout=30)[1]
    assert "Go on with --from-line 5 if it is there, or else 4." in err


def test_nothing_to_import_is_said_and_is_not_a_success(leads_csv: Path) -> None:
    with Sandbox() as thebase:
        code, out, err = run(leads_csv, "--from-line", 99, thebase=thebase)
    assert (code, out) == (2, "")
    assert "has no lead from line 99 on" in err


def garbling_the_answer(thebase: Sandbox) -> None:
    thebase.answer_next(CREATE, 201, "no gzip", headers={"Content-Encoding": "gzip"})


def losing_the_answer(thebase: Sandbox) -> None:
    thebase.drop_next(CREATE, carried_out=True)


@pytest.mark.parametrize(
    ("trouble", "is_there", "why"),
    [
        (answering(500), False, "TheBase answered 500: Internal Server Error"),
        (answering(555), False, "TheBase answered 555: "),
        (answering(502), False, "TheBase answered 502: Bad Gateway"),
        (lambda thebase: thebase.drop_next(CREATE), False, "ConnectionError: ('Connection aborted."),
        (garbling_the_answer, True, "ContentDecodingError: ('Received response with content-encoding: gzip"),
        (losing_the_answer, True, "ConnectionError: ('Connection aborted."),
    ],
    ids=["500", "555", "502", "dropped", "garbled", "created and dropped"],
)
def test_it_stops_at_a_lead_that_may_have_been_created_and_does_not_send_it_again(
    leads_csv: Path, trouble: Callable[[Sandbox], object], is_there: bool, why: str
) -> None:
    with after({3}, trouble) as thebase:
        code, out, err = run(leads_csv, thebase=thebase)
        assert (code, out) == (1, "3 leads created, 0 refused\n")
        [line] = messages(err)
        assert line.startswith(f"stopped at line 5: {why}")
        assert "This lead may or may not have been created" in line
        assert "Go on with --from-line 6 if it is there, or else 5." in line
        assert len(thebase.calls(CREATE)) == 4
        assert created(thebase) == LEADS[: 4 if is_there else 3]

        code, _, _ = run(leads_csv, "--from-line", 6 if is_there else 5, thebase=thebase)
        assert code == 0
    assert created(thebase) == LEADS


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["-c", IN_A_HURRY, EXAMPLES], id="timeout"),
        pytest.param([SCRIPT], id="Ctrl-C", marks=pytest.mark.skipif(os.name != "posix", reason="no SIGINT")),
    ],
)
def test_a_server_that_keeps_its_answer_back(leads_csv: Path, command: list[object]) -> None:
    arrived, ended = threading.Event(), threading.Event()

    def hang(thebase: Sandbox) -> None:
        arrived.set()
        ended.wait(20)

    with after({2}, hang) as thebase:
        process = start(*command, leads_csv, thebase=thebase)
        assert arrived.wait(20)
        if command == [SCRIPT]:
            process.send_signal(signal.SIGINT)
        try:
            code, out, err = end(process, thebase)
        finally:
            ended.set()

    assert (code, out) == (1, "1 leads created, 0 refused\n")
    [line] = messages(err)
    assert line.startswith("stopped at line 3: ")
    assert ("interrupted." if command == [SCRIPT] else "Read timed out.") in line
    assert "This lead may or may not have been created" in line
    assert created(thebase) == LEADS[:2]


def test_a_server_that_is_not_there_has_created_nothing(leads_csv: Path) -> None:
    with Sandbox() as thebase:
        pass
    code, out, err = run(leads_csv, thebase=thebase)

    assert (code, out) == (1, "0 leads created, 0 refused\n")
    [line] = messages(err)
    assert line.startswith("stopped at line 2: ")
    assert line.endswith("Go on with --from-line 2.")
    assert "may or may not" not in line


# The command line


def test_help_tells_the_options_the_variables_and_the_exit_codes() -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    for word in ("--encoding", "--from-line", "--sandbox", "Exit codes: 0", "THEBASE_DOMAIN="):
        assert word in out


def test_missing_settings_are_named(leads_csv: Path) -> None:
    code, out, err = run(leads_csv)
    assert (code, out) == (2, "")
    assert "THEBASE_DOMAIN, THEBASE_CLIENT_ID, THEBASE_CLIENT_SECRET" in err


@pytest.mark.parametrize("form", ["{}", "{}/", "https://{}", "https://{}/"])
def test_the_domain_may_be_written_as_people_do(
    leads_csv: Path, certificates: Any, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)
    with Sandbox(ssl_certfile=certificates.certificate, ssl_keyfile=certificates.key) as thebase:
        domain = form.format(thebase.domain.removeprefix("https://"))
        code, _, _ = run(leads_csv, thebase=thebase, domain=domain)
    assert code == 0
    assert created(thebase) == LEADS


def test_without_what_the_sandbox_needs_the_extra_is_named(leads_csv: Path) -> None:
    code, out, err = end(start("-c", WITHOUT_UVICORN, SCRIPT, leads_csv, "--sandbox"))
    assert (code, out) == (2, "")
    assert "install the extra 'testing'" in err
