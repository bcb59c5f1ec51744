"""What docs/testing/anywhere.md says of the sandbox for other languages is so, and its examples run."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support import ROOT
from tests.support.sandbox import LEAD, bearer
from thebase_auth._cli import main
from thebase_auth.testing import Sandbox
from thebase_auth.testing._access import SETTINGS
from thebase_auth.testing._control import with_control
from thebase_auth.testing._levers import _LEVERS, KEYS

PAGE = (ROOT / "docs/testing/anywhere.md").read_text("utf-8")
HEBREW = (ROOT / "docs/he/sandbox.md").read_text("utf-8")


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    table = page.partition(f"{heading}\n")[2].partition("\n|---")[2].partition("\n\n")[0]
    return [row.strip("| ").split(" | ") for row in table.splitlines()[1:]]


def block(language: str, containing: str) -> str:
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    [found] = (one for one in blocks if containing in one)
    return found


@pytest.fixture
def thebase() -> Iterator[Sandbox]:
    """A sandbox with the control interface, which has created a lead and refused a call."""
    sandbox = Sandbox()
    sandbox.asgi = with_control(sandbox, lambda _: None)
    with sandbox, httpx.Client(base_url=sandbox.domain) as client:
        client.post("/v2/leads/create", json=LEAD, headers=bearer(sandbox, client))
        client.get("/v2/users")
        yield sandbox


def run(tmp_path: Path, thebase: Sandbox, code: str, name: str, *command: str) -> str:
    """What a program prints that uses this sandbox."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    call = "// Here your program calls http://127.0.0.1:8080/v2/users."
    assert (call in code) == (name != "example.sh")
    in_node = """
        await fetch("http://127.0.0.1:8080/oauth/token", { method: "POST" });
        await fetch("http://127.0.0.1:8080/v2/users");
    """
    in_php = "foreach ([1, 2] as $_) @file_get_contents('http://127.0.0.1:8080/v2/users');"  # warns of a 503
    code = code.replace(call, in_php if name.endswith("php") else in_node)
    program = tmp_path / name
    program.write_text(code.replace("http://127.0.0.1:8080", thebase.domain), "utf-8")
    done = subprocess.run([*command, program], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_lines_for_curl_run(tmp_path: Path, thebase: Sandbox) -> None:
    code = block("bash", "--json").replace("curl ", "curl --silent --show-error --fail-with-body ")
    shown = run(tmp_path, thebase, code, "example.sh", "bash", "-e")
    assert '{"count": 1, "received": [{"method": "POST", "path": "/v2/leads/create", "status": 201' in shown
    assert [httpx.get(f"{thebase.domain}/v2/users").status_code for _ in range(3)] == [503, 503, 401]


@pytest.mark.thebase_allow_unused
def test_the_program_in_php_runs(tmp_path: Path, thebase: Sandbox) -> None:
    shown = run(tmp_path, thebase, block("php", "sandbox("), "example.php", "php")
    assert shown == "503 answered by a lever\n503 answered by a lever\n"


@pytest.mark.thebase_allow_unused
def test_the_program_in_node_runs(tmp_path: Path, thebase: Sandbox) -> None:
    shown = run(tmp_path, thebase, block("js", "sandbox("), "example.mjs", "node")
    assert shown == "401 no token\n"


def test_each_lever_is_in_the_table_with_its_arguments() -> None:
    told: dict[str, list[tuple[str, bool]]] = {}
    for name, arguments, _ in rows(PAGE, "### Levers"):
        found = re.findall(r"(\*\*)?`(\w+)`", arguments)
        told[name.strip("`")] = [(argument, bool(bold)) for bold, argument in found]
    assert set(told) == set(_LEVERS)
    assert told.pop("settings") == [(name, False) for name in SETTINGS]
    for name, named in told.items():
        parameters = list(inspect.signature(_LEVERS[name]).parameters.values())[1:]
        assert sorted(named) == sorted((one.name, one.default is one.empty) for one in parameters), name


def test_each_key_is_in_the_table() -> None:
    assert rows(PAGE, "## Keys") == [[f"`{key.key}`", key.text] for key in KEYS]
    assert [row[0] for row in rows(HEBREW, "## מקשים בטרמינל")] == [
        *(f"`{key.key}`" for key in KEYS), "`?`", "`q`",
    ]  # fmt: skip


def test_each_flag_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main(["sandbox", "--help"])
    flags = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert {row[0].strip("`").split()[0] for row in rows(PAGE, "## Flags")} == flags


def test_each_key_of_a_received_request_is_in_the_table(thebase: Sandbox) -> None:
    [*_, entry] = httpx.get(f"{thebase.domain}/_sandbox/received").json()["received"]
    told = [name for row in rows(PAGE, "### What was received") for name in re.findall(r"`(\w+)`", row[0])]
    assert told == list(entry)


def test_the_pictures_are_there_and_small() -> None:
    for page in (PAGE, HEBREW):
        [path] = re.findall(r"!\[.+\]\(\.\./(images/.+\.png)\)", page)
        assert 10_000 < (ROOT / "docs" / path).stat().st_size < 120_000


def test_the_page_in_hebrew_is_right_to_left_and_its_code_is_not() -> None:
    outside = re.sub(r'<div dir="rtl" lang="he" markdown>.*?</div>', "", HEBREW, flags=re.DOTALL)
    assert not re.search("[\u0590-\u05ff]", outside)
    assert "```" not in "".join(re.findall(r"<div.*?</div>", HEBREW, re.DOTALL))
