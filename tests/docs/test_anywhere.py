"""What docs/testing/anywhere.md says of the sandbox for other languages is so, and its examples run."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support import ROOT
from tests.support.sandbox import LEAD, bearer, controlled
from thebase_auth._cli import main
from thebase_auth.testing import Sandbox
from thebase_auth.testing._access import SETTINGS
from thebase_auth.testing._levers import _LEVERS

PAGE = (ROOT / "docs/testing/anywhere.md").read_text("utf-8")
HEBREW = (ROOT / "docs/he/sandbox.md").read_text("utf-8")


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    table = page.partition(f"{heading}\n")[2].partition("\n|---")[2].partition("\n\n")[0]
    return [row.strip("| ").split(" | ") for row in table.splitlines()[1:]]


def block(language: str, containing: str, page: str = PAGE) -> str:
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    [found] = (one for one in blocks if containing in one)
    return found


@pytest.fixture
def thebase() -> Iterator[Sandbox]:
    """A sandbox with the control interface, which has created a lead and refused a call."""
    with controlled() as sandbox, httpx.Client(base_url=sandbox.domain) as client:
        client.post("/v2/leads/create", json=LEAD, headers=bearer(sandbox, client))
        client.get("/v2/users")
        yield sandbox


def ended(
    tmp_path: Path, thebase: Sandbox, code: str, name: str, *command: str
) -> subprocess.CompletedProcess[str]:
    """A program that has run with this sandbox."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    program = tmp_path / name
    program.write_text(code.replace("http://127.0.0.1:8080", thebase.domain), "utf-8")
    settings = {
        "THEBASE_DOMAIN": thebase.domain,
        "THEBASE_CLIENT_ID": thebase.client_id,
        "THEBASE_CLIENT_SECRET": thebase.client_secret,
    }
    return subprocess.run(
        [*command, program],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **settings},
        timeout=60,
        check=False,
    )


def run(tmp_path: Path, thebase: Sandbox, code: str, name: str, *command: str) -> str:
    """What a program prints that uses this sandbox, and ends well."""
    done = ended(tmp_path, thebase, code, name, *command)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_lines_for_curl_run(tmp_path: Path, thebase: Sandbox) -> None:
    code = block("bash", "answer_next").replace("curl ", "curl --silent --show-error --fail-with-body ")
    shown = run(tmp_path, thebase, code, "example.sh", "bash", "-e")
    assert '{"count": 1, "received": [{"method": "POST", "path": "/v2/leads/create", "status": 201' in shown
    assert [httpx.get(f"{thebase.domain}/v2/users").status_code for _ in range(3)] == [503, 503, 401]


@pytest.mark.parametrize("page", [PAGE, HEBREW], ids=["English", "Hebrew"])
def test_the_lines_that_fetch_a_token_and_call_run(tmp_path: Path, thebase: Sandbox, page: str) -> None:
    code = block("bash", "/oauth/token", page).replace("curl ", "curl --silent --show-error --fail ")
    with httpx.Client(base_url=thebase.domain) as client:
        code = code.replace("Bearer TOKEN", bearer(thebase, client)["Authorization"])
    shown = run(tmp_path, thebase, code, "example.sh", "bash", "-e")
    assert shown.startswith('{"access_token": ')
    token_request, call = thebase.received[-2:]
    assert (token_request.path, call.path) == ("/oauth/token", "/v2/users")
    assert call.headers["accept"] == "application/json"


def test_a_test_run_starts_resets_and_ends_the_sandbox(tmp_path: Path, thebase: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    code = (
        block("bash", "kill")
        .replace("8080", port)
        .replace("thebase-auth", f"{sys.executable} -m thebase_auth")
    )
    code = f"trap 'kill $!' ERR\n{code}"
    shown = run(tmp_path, thebase, code, "example.sh", "bash", "-e")  # waits until the sandbox has ended
    assert re.search(r"^[\d:]+ reset\n\Z", shown, re.MULTILINE)


def test_the_program_in_php_runs(tmp_path: Path, thebase: Sandbox) -> None:
    shown = run(tmp_path, thebase, block("php", "sandbox("), "example.php", "php")
    assert shown == "503 response by a lever\n"


def test_the_program_in_php_ends_at_a_lever_that_is_refused(tmp_path: Path, thebase: Sandbox) -> None:
    code = block("php", "sandbox(").replace("503]", "'five']")
    done = ended(tmp_path, thebase, code, "example.php", "php", "-d", "display_errors=stderr")
    assert done.returncode == 255
    assert 'status must be a whole number, not "five"' in done.stderr


def test_the_program_in_node_runs(tmp_path: Path, thebase: Sandbox) -> None:
    shown = run(tmp_path, thebase, block("js", "sandbox("), "example.mjs", "node")
    assert shown == "401 delayed by a lever, no token\n"


def test_each_lever_is_in_the_table_with_its_arguments() -> None:
    told: dict[str, list[tuple[str, bool]]] = {}
    for name, text in rows(PAGE, "### Levers"):
        found = re.findall(r"(\*\*)?`(\w+)`", text.partition("<br>")[2])
        told[name.strip("`")] = [(argument, bool(bold)) for bold, argument in found]
    assert set(told) == set(_LEVERS)
    assert told.pop("settings") == [(name, False) for name in SETTINGS]
    for name, named in told.items():
        parameters = list(inspect.signature(_LEVERS[name]).parameters.values())[1:]
        assert sorted(named) == sorted((one.name, one.default is one.empty) for one in parameters), name


def test_each_flag_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main(["sandbox", "--help"])
    flags = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert {row[0].strip("`").split()[0] for row in rows(PAGE, "## Flags")} == flags
    hebrew = rows((ROOT / "docs/he/command-line.md").read_text("utf-8"), "## שרת מדומה")
    assert {row[0].partition(">")[2].split()[0].partition("<")[0] for row in hebrew} == flags


def test_each_key_of_a_received_request_is_in_the_table(thebase: Sandbox) -> None:
    [*_, entry] = httpx.get(f"{thebase.domain}/_sandbox/received").json()["received"]
    told = [name for row in rows(PAGE, "### What was received") for name in re.findall(r"`(\w+)`", row[0])]
    assert told == list(entry)


def test_the_pictures_are_there_and_small() -> None:
    for page in (PAGE, HEBREW):
        [path] = re.findall(r"!\[.+\]\(\.\./(images/.+\.webp)\)", page)
        assert 10_000 < (ROOT / "docs" / path).stat().st_size < 120_000
