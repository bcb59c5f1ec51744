"""The pages of docs/ agree with the code, and the tests that they name exist."""

from __future__ import annotations

import importlib
import inspect
import re
from contextlib import suppress

import pytest

import thebase_auth.requests
from tests.support import ROOT
from tests.support.pages import text_of
from tests.support.sandbox import COLLECTIONS, SENT
from thebase_auth._cli import main
from thebase_auth.testing import Sandbox
from thebase_auth.testing._crm import crm_routes


def test_each_test_that_the_guarantees_name_exists() -> None:
    guarantees = text_of("docs/guarantees.md")
    named = re.findall(r"^(tests/[\w/]+\.py)::(\w+)$", guarantees, re.MULTILINE)
    promises = guarantees.partition("## Limits")[0].count("\n* ")
    assert len(named) == promises >= 25
    for path, test in named:
        assert f"def {test}(" in text_of(path)


def test_the_table_of_options_has_each_option_and_its_default() -> None:
    parameters = inspect.signature(thebase_auth.requests.TheBaseAuth).parameters.values()
    options = [one for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", text_of("docs/reference.md"), re.MULTILINE)
    assert rows == [(one.name, repr(one.default)) for one in options]


def test_the_table_of_extras_has_each_extra() -> None:
    table = text_of("docs/reference.md").partition("## Extras")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    extras = re.findall(r"^(\w+) = \[", text_of("pyproject.toml").split("\n[")[2], re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == sorted(extras)


@pytest.mark.parametrize("module", ["thebase_auth", "thebase_auth.caches", "thebase_auth.testing"])
def test_the_reference_has_each_public_name(module: str) -> None:
    pages = ("reference", "errors", "reference/caches", "reference/testing")
    reference = "\n".join(text_of(f"docs/{page}.md") for page in pages)
    for name in importlib.import_module(module).__all__:
        assert re.search(rf"^::: thebase_auth\.(\w+\.)?{name}$", reference, re.MULTILINE), name


def test_the_table_of_errors_has_each_error() -> None:
    errors = text_of("docs/errors.md")
    for name in thebase_auth.requests.__all__:
        if name.endswith("Error"):
            assert f"| `{name}` |" in errors


def test_the_table_of_exit_codes_is_that_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out.partition("Exit codes:")[2]
    page = text_of("docs/command-line.md")
    rows = re.findall(r"^\| (\d \| .+) \|$", page, re.MULTILINE)
    assert " ".join(rows).replace(" |", "").split() == shown.split()
    for name in ("check", "token", "request", "sandbox", "demo"):
        assert f"| `thebase-auth {name}" in page


def test_each_call_of_the_sandbox_is_in_the_page_with_its_keys_and_status() -> None:
    text = text_of("docs/testing/sandbox.md").partition("## Calls of the sandbox")[2]
    rows = re.findall(r"^\| `(.+)` \| (.+) \|$", text, re.MULTILINE)
    told = {call: set(re.findall(r"`(\w+)`", keys)) for call, keys in rows}
    told |= {call: set() for call in re.findall(r"`([A-Z]+ /\S+)`[,\n]", text)}
    assert told == {f"{one.method} {one.path}": set(one.required) for one in crm_routes()}
    for path, _, required in SENT:
        assert told[f"POST {path}"] == set(required)
    for path, _ in COLLECTIONS:
        assert told[f"GET {path}"] == set()
    for one in crm_routes():  # what the page says above the table
        is_creating = one.method in {"POST", "PUT"} and "/workingDays/" not in one.path
        assert one.status == (201 if is_creating else 200)


def test_each_lever_that_the_table_names_is_there() -> None:
    table = text_of("docs/testing/sandbox.md").partition("| lever |")[2].partition("\n\n")[0]
    named = set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) | {"calls"}
    thebase = Sandbox()
    assert len(named) >= 15
    for name in named:
        assert name == "received" or hasattr(thebase, name), name


def test_pages_in_hebrew_are_right_to_left_and_their_code_is_not() -> None:
    for page in (ROOT / "README.he.md", *ROOT.glob("docs/he/*.md")):
        pieces = re.split(r"^(<div dir=\"rtl\"[^>]*>|</div>|```\w*)$", text_of(page), flags=re.MULTILINE)
        opened = fenced = False
        for piece in pieces:
            if piece.startswith("```"):
                assert not opened  # GitHub would set the code to the right
                fenced = not fenced
            elif piece.startswith(("<div", "</div>")):
                assert opened == (piece == "</div>")
                opened = not opened
            elif piece.strip():
                assert opened or fenced
        assert not opened


def test_paths_of_pictures_are_the_same_in_the_repository_and_on_the_site() -> None:
    assert "\nuse_directory_urls: false" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
