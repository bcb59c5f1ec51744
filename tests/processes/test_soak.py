"""The soak: a short run of it holds, and its account finds what would be wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from benchmarks.soak._account import Account
from benchmarks.soak._callers import PATIENT
from benchmarks.soak._journal import AUTH_ERROR, CANCELLED, RESPONSE, Call, End, Entry
from tests.support import ROOT


@pytest.mark.slow
def test_a_short_soak_leaves_no_call_unaccounted_for() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--seconds", "8", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks hold" in done.stdout


# The account, of runs that have not been. Call number n begins at n seconds, and takes a tenth.


def entry(number: int, outcome: str, status: int = 201, body: str = "bytes") -> Entry:
    call = Call(f"{number}", "main, a client", "POST", "/v2/leads/create", body, PATIENT, True, False, None)
    return Entry(call, number, [End(number + 0.1, outcome, status)])


def request(number: int, status: int = 201, **more: Any) -> dict[str, Any]:
    usual = {
        "call": f"{number}",
        "method": "POST",
        "path": "/v2/leads/create",
        "status": status,
        "at": number + 0.05,
        "token": "first",
        "known": True,
        "has_permission": True,
        "wrong": None,
    }
    return usual | more


def rejected(number: int, at: float) -> dict[str, Any]:
    """A request with a token that has ended."""
    return request(number, 401, at=number + at, known=False)


def token_request(number: int, issued: str | None) -> dict[str, Any]:
    status = 200 if issued else 503
    more = {"path": "/oauth/token", "issued": issued, "ended": None, "token": None}
    return request(number, status, at=number + 0.03, **more)


def broken(entries: list[Entry], *record: dict[str, Any], revocations: int = 0) -> list[str]:
    """The checks that do not hold of these calls, and of twenty that went well before."""
    well = range(100, 120)
    account = Account(
        [*(entry(number, RESPONSE) for number in well), *entries],
        [token_request(100, "first"), *(request(number) for number in well), *record],
        revocations=revocations,
        cache_failures=0,
    )
    return [check.name for check in account.checks() if check.faults]


def test_what_goes_well_breaks_no_rule() -> None:
    replayed = [rejected(201, 0.02), token_request(201, "second"), request(201, token="second")]
    without_token = token_request(202, None)
    entries = [entry(201, RESPONSE), entry(202, AUTH_ERROR), entry(203, CANCELLED)]

    assert broken(entries, *replayed, without_token, revocations=1) == []


REASON = "every 401 that reaches a caller has its reason"


@pytest.mark.parametrize(
    ("ended", "record", "rule"),
    [
        (entry(201, CANCELLED), [request(201, wrong="half of it")], "every body arrives whole and untouched"),
        (entry(201, RESPONSE), [request(201), request(201)], "no write is carried out twice"),
        (entry(201, RESPONSE, 401), [request(201, 401)], REASON),
        (entry(201, RESPONSE, 401, body="multipart"), [rejected(201, 0.05)], REASON),
        (entry(201, RESPONSE, 401), [rejected(201, 0.02), rejected(201, 0.05)], REASON),
    ],
    ids=["half a body", "a write twice", "a good token", "an ended token", "the ended token again"],
)
def test_planted_fault_is_found(ended: Entry, record: list[dict[str, Any]], rule: str) -> None:
    assert rule in broken([ended], *record)
