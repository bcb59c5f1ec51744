"""The README is true: its Python runs, its tests exist, its tables agree with the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import requests

import thebase_auth
import thebase_auth.requests
from tests.support import ROOT
from tests.support.pythons import run_pytest
from tests.support.sandbox import COLLECTIONS, SENT
from thebase_auth._cli import main
from thebase_auth.testing import Sandbox
from thebase_auth.testing._crm import crm_routes

README = (ROOT / "README.md").read_text(encoding="utf-8")
HEBREW = (ROOT / "README.he.md").read_text(encoding="utf-8")
BLOCKS, HEBREW_BLOCKS = (re.findall(r"```python\n(.*?)```", text, re.DOTALL) for text in (README, HEBREW))
TESTS = [block for block in BLOCKS if "def test_" in block]
SCRIPTS = [block for block in BLOCKS + HEBREW_BLOCKS if "def test_" not in block]


@pytest.mark.parametrize("block", SCRIPTS, ids=range(len(SCRIPTS)))
def test_each_python_block_runs(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox() as thebase:
        for name, value in (
            ("DOMAIN", thebase.domain),
            ("CLIENT_ID", thebase.client_id),
            ("CLIENT_SECRET", thebase.client_secret),
        ):
            monkeypatch.setenv(f"THEBASE_{name}", value)
        # The sandbox takes the place of the customer's TheBase, in the text as in the world.
        here = block.replace("https://acme.thebase.co.il", thebase.domain)
        here = here.replace('"acme.thebase.co.il"', repr(thebase.domain))
        names: dict[str, Any] = {
            "client_id": thebase.client_id,
            "client_secret": thebase.client_secret,
            "requests": requests,
            "TheBaseAuth": thebase_auth.requests.TheBaseAuth,
        }
        exec(compile(here, "README.md", "exec"), names)
        if isinstance(names.get("session"), requests.Session):
            names["session"].close()
        answered = {request.status for request in thebase.received}
    assert answered <= {200, 201, 401}


@pytest.mark.parametrize("block", TESTS, ids=range(len(TESTS)))
def test_each_block_of_tests_passes_where_the_package_is_installed(block: str, tmp_path: Path) -> None:
    ended = run_pytest(tmp_path, block)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{block.count('def test_')} passed" in ended.stdout


def test_the_guide_in_hebrew_has_the_same_examples() -> None:
    assert BLOCKS[:3] == HEBREW_BLOCKS
    for path, anchor in re.findall(r"\]\(([\w.]+\.md)(#[\w-]+)?\)", HEBREW):
        text = (ROOT / path).read_text(encoding="utf-8")
        heading = anchor.removeprefix("#").replace("-", " ")
        assert not anchor or f"## {heading}" in text.lower()


def test_the_guide_in_hebrew_is_right_to_left_and_its_code_is_not() -> None:
    pieces = re.split(r"^(<div dir=\"rtl\">|</div>|```\w*)$", HEBREW, flags=re.MULTILINE)
    opened = fenced = False
    for piece in pieces:
        if piece.startswith("```"):
            assert not opened  # GitHub would set the code to the right
            fenced = not fenced
        elif piece in {'<div dir="rtl">', "</div>"}:
            assert opened == (piece == "</div>")
            opened = not opened
        elif piece.strip():
            assert opened or fenced
    assert not opened


def test_there_are_blocks_for_each_library() -> None:
    for name in ("requests.Session()", "httpx.Client(", "httpx.AsyncClient(", "from_env()"):
        assert any(name in block for block in BLOCKS)


def test_each_test_that_the_readme_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", README)
    assert len(named) >= 15
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8")


def test_the_table_of_options_has_each_option_and_its_default() -> None:
    parameters = inspect.signature(thebase_auth.requests.TheBaseAuth).parameters.values()
    options = [one for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", README, re.MULTILINE)
    assert rows == [(one.name, repr(one.default)) for one in options]


def test_the_table_of_errors_has_each_error() -> None:
    for name in thebase_auth.requests.__all__:
        if name.endswith("Error"):
            assert f"| `{name}` |" in README


def test_the_commands_for_a_fresh_machine_are_those_that_are_tried() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install '.[demo]' && .venv/bin/thebase-auth demo",
        "python3 -m venv --upgrade-deps .venv && .venv/bin/pip install -e . --group test && .venv/bin/pytest -n auto",
    ]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"\ncommand='{commands[1]}'\n" in ci


def test_the_changelog_has_a_section_for_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changelog or f"## [{thebase_auth.__version__}]" in changelog


def test_the_table_of_exit_codes_is_that_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out.partition("exit codes:")[2]
    rows = re.findall(r"^\| (\d) \| (\w+)", README, re.MULTILINE)
    assert rows == re.findall(r"^  (\d)  (\w+)", shown, re.MULTILINE)
    for name in ("check", "token", "request", "sandbox", "demo"):
        assert f"| `thebase-auth {name}" in README


def test_each_call_of_the_sandbox_is_in_the_readme_with_its_keys_and_answer() -> None:
    table = README.partition("<details>")[2].partition("</details>")[0]
    rows = re.findall(r"^\| (`.+`) \| (\d+) \| (.*) ?\|$", table, re.MULTILINE)
    told = {
        call: (int(status), set(re.findall(r"`(\w+)`", keys)))
        for calls, status, keys in rows
        for call in re.findall(r"`(.+?)`", calls)
    }
    assert told == {f"{one.method} {one.path}": (one.status, set(one.required)) for one in crm_routes()}
    for path, _, required in SENT:
        assert told[f"POST {path}"][1] == set(required)
    for path, _ in COLLECTIONS:
        assert told[f"GET {path}"] == (200, set())


def test_each_lever_that_the_readme_names_is_there() -> None:
    table = README.partition("The levers; ")[2].partition("Without pytest")[0]
    named = set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) | {"calls"}
    thebase = Sandbox()
    assert len(named) >= 15
    for name in named:
        assert name == "received" or hasattr(thebase, name), name
