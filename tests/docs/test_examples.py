"""The example, run as its readers run it: in a process of its own, over real sockets."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from thebase_auth.testing import Sandbox

EXAMPLES = ROOT / "examples"
LEADS = EXAMPLES / "leads.csv"
CREATE = "POST /v2/leads/create"


def run(thebase: Sandbox, path: Path = LEADS, **settings: str) -> tuple[int, str]:
    """Import a file, and return the exit code and what was printed."""
    settings = {
        "PYTHONUTF8": "1",
        "THEBASE_DOMAIN": thebase.domain,
        "THEBASE_CLIENT_ID": thebase.client_id,
        "THEBASE_CLIENT_SECRET": thebase.client_secret,
    } | settings
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "import_leads.py", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=os.environ | settings,
        check=False,
        timeout=30,
    )
    assert thebase.client_secret not in done.stdout
    return done.returncode, done.stdout


def created(thebase: Sandbox) -> list[dict[str, Any]]:
    return [json.loads(call.body) for call in thebase.calls(CREATE) if call.status == 201]


def test_each_lead_is_created_once_although_tokens_are_revoked_meanwhile() -> None:
    def revoke(request: Any) -> None:
        if request.path in CREATE and request.status == 201:
            thebase.revoke_tokens()

    with Sandbox(on_request=revoke) as thebase:
        assert run(thebase) == (0, "")
    with LEADS.open(encoding="utf-8-sig", newline="") as file:
        assert created(thebase) == list(csv.DictReader(file))
    assert thebase.token_requests == len(created(thebase)) == 5


def test_rejected_lead_is_reported_and_the_others_are_created(thebase: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_text("name,f_name,phone\nא,דנה,0501234567\nב,נועה,\nג,רון,0521234567\n", "utf-8-sig")
    code, printed = run(thebase, path)
    assert code == 1
    assert "line 3 was rejected: " in printed
    assert "phone is required" in printed
    assert printed.endswith("leads that were rejected: 1\n")
    assert [lead["name"] for lead in created(thebase)] == ["א", "ג"]


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        (lambda thebase: thebase.drop_next(CREATE), "Connection aborted"),
        (lambda thebase: thebase.answer_next(CREATE, 503), "503 Server Error"),
        (lambda thebase: thebase.answer_next("POST /oauth/token", 503), "the token endpoint of 127.0.0.1"),
    ],
    ids=["dropped", "503", "no token"],
)
def test_import_stops_at_any_other_error(
    thebase: Sandbox, fail: Callable[[Sandbox], object], message: str
) -> None:
    fail(thebase)
    code, printed = run(thebase)
    assert code == 1
    assert printed.startswith("stopped at line 2: ")
    assert message in printed
    assert created(thebase) == []


def test_missing_settings_are_named(thebase: Sandbox) -> None:
    code, printed = run(thebase, THEBASE_DOMAIN="", THEBASE_CLIENT_ID="")
    assert code == 1
    assert "unset or empty in the environment: THEBASE_DOMAIN, THEBASE_CLIENT_ID" in printed
