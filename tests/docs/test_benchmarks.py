"""The benchmarks run, and keep what they measure. Nothing is said of times."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.benchmarks import run_benchmarks


def run(*arguments: str) -> str:
    """What the benchmarks print, with the least that they can measure."""
    return run_benchmarks("--least", *arguments)


def rows(printed: str, beginning: str) -> list[list[str]]:
    """The cells of the rows that begin so."""
    lines = [line.strip() for line in printed.splitlines()]
    return [re.split(r" {2,}", line) for line in lines if line.startswith(beginning)]


def kept(folder: Path, name: str) -> dict[str, Any]:
    """The figures of a benchmark, which has drawn them, too."""
    assert sorted(path.name for path in folder.glob("*.svg")) == [f"{name}-dark.svg", f"{name}-light.svg"]
    figures = json.loads((folder / "figures.json").read_text("utf-8"))[name]
    assert figures["measured"].split()[-1] in (folder / f"{name}-dark.svg").read_text("utf-8")
    panels: dict[str, Any] = figures["panels"]
    return panels


@pytest.mark.slow
def test_the_cost_of_a_call_is_measured_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("authlib", reason="the others come with the group bench")
    printed = run("call-cost", "--svg", "--into", str(tmp_path))

    assert len(rows(printed, "thebase_auth ")) == 5
    panels = kept(tmp_path, "call-cost")
    assert [*panels] == [
        "requests",
        "httpx.Client",
        "httpx.AsyncClient",
        "httpx2.Client",
        "httpx2.AsyncClient",
    ]
    for panel in panels.values():
        [(each, low, high)] = [figures for name, *figures in panel if name == "thebase_auth"]
        assert 0 < low <= each <= high


@pytest.mark.slow
def test_a_herd_makes_one_token_request_and_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("authlib", reason="the others come with the group bench")
    printed = run("herd", "--svg", "--into", str(tmp_path))

    ours = rows(printed, "thebase_auth ")
    assert len(ours) == 3
    assert {(callers, token_requests) for _, callers, token_requests, *_ in ours} == {("3", "1")}
    assert [panel[0][:3] for panel in kept(tmp_path, "herd").values()] == [["thebase_auth", 3, 1]] * 3


@pytest.mark.slow
def test_a_fleet_with_a_cache_makes_one_token_request() -> None:
    printed = run("fleet")

    assert [token_requests for _, token_requests, *_ in rows(printed, "file, ")] == ["1"] * 3


@pytest.mark.slow
def test_an_import_loads_one_http_library() -> None:
    loaded = {row[0]: row[-1] for row in rows(run("import-time"), "import thebase_auth")}

    assert loaded.pop("import thebase_auth") == "none"
    assert loaded == {f"import thebase_auth.{name}": name for name in ("requests", "httpx", "httpx2")}


@pytest.mark.slow
def test_auth_objects_and_those_who_wait_are_weighed() -> None:
    printed = run("memory")

    objects, waiting = printed.split("that wait")
    assert len(rows(objects, "requests  ") + rows(objects, "httpx")) == 3
    assert len(rows(waiting, "requests, ") + rows(waiting, "httpx")) == 3


@pytest.mark.slow
def test_a_file_is_read_once_for_each_sending() -> None:
    assert run("upload").count("the file is read 2 times and sent twice") == 3


@pytest.mark.parametrize("arguments", [["nonsense"], ["--least", "--quick"]])
def test_what_is_not_understood_is_refused(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
