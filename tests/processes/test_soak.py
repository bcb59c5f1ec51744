"""The soak: a short run of it holds, and its account finds what would be wrong."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.soak._account import Account
from benchmarks.soak._bodies import document, what_is_wrong
from benchmarks.soak._callers import PATIENT
from benchmarks.soak._journal import ANSWER, AUTH_ERROR, CANCELLED, FOREIGN, Call, Entry
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


# The account, of runs that have not been


def entry(number: int, *outcomes: str, status: int | None = 201, body: str = "bytes") -> Entry:
    call = Call(
        f"{number}", "a client", "POST", "/v2/leads/create", body, PATIENT, True, False, None
    )
    ends = [{"outcome": one, "status": status, "seconds": 0.1, "detail": ""} for one in outcomes]
    return Entry(call, ends)


def request(number: int, status: int | None = 201, **more: Any) -> dict[str, Any]:
    usual = {"call": f"{number}", "method": "POST", "path": "/v2/leads/create", "status": status,
             "token": "first", "known": True, "wrong": None}  # fmt: skip
    return usual | more


def token_request(status: int | None = 200, number: int = 100) -> dict[str, Any]:
    return {"call": f"{number}", "method": "POST", "path": "/oauth/token", "status": status}


def broken(entries: list[Entry], *record: dict[str, Any], revocations: int = 0) -> list[str]:
    """The checks that do not hold, beside eight calls that went well."""
    well = range(100, 108)
    account = Account(
        [*entries, *(entry(number, ANSWER) for number in well)],
        [token_request(), *record, *(request(number) for number in well)],
        revocations=revocations,
        cache_failures=0,
    )
    return [check.name for check in account.checks() if check.faults]


def test_what_goes_well_breaks_no_rule() -> None:
    refused = request(1, 401, known=False)
    replayed = [refused, token_request(503, 2), token_request(200, 1), request(1, token="second")]

    assert broken([entry(1, ANSWER), entry(2, AUTH_ERROR)], *replayed, revocations=1) == []
    assert broken([entry(1, CANCELLED)], request(1)) == []
    assert broken([entry(1, CANCELLED)]) == []


@pytest.mark.parametrize(
    ("entries", "record", "rule"),
    [
        ([entry(1)], [], "every call ends once"),
        ([entry(1, CANCELLED, CANCELLED)], [], "every call ends once"),
        ([entry(1, FOREIGN)], [], "every call ends with an answer, an error of its library, or its own cancellation"),
        ([entry(1, ANSWER)], [], "what a caller was answered is what the sandbox answered"),
        ([entry(1, ANSWER)], [request(1, 401)], "what a caller was answered is what the sandbox answered"),
        ([entry(1, CANCELLED)], [request(1, wrong="half of it")], "every body arrives whole and untouched"),
        ([entry(1, ANSWER)], [request(1), request(1)], "no write is carried out twice"),
        ([entry(1, ANSWER)], [request(1, None), request(1)], "nothing is sent again but after a 401"),
        ([entry(1, AUTH_ERROR)], [request(1)], "what ends with an error of thebase_auth was not carried out"),
        ([entry(1, ANSWER, body="generator")], [request(1, 401), request(1)], "a body that can be sent once is sent once"),
        ([], [request(1)], "every request that arrives is one of a call"),
        ([], [token_request(503)], "no call asks for a token more than once to begin with, and once for each refusal"),
        ([], [token_request(), request(100, 401, token="second", known=False)], "no token request but those explained"),
        ([], [token_request()], "tokens that nobody used are no more than calls without an answer"),
        ([], [request(100, 401, token="forged")], "no token is used but those issued"),
        ([entry(number, CANCELLED) for number in range(9)], [], "at least 50% of the calls succeed"),
    ],
)  # fmt: skip
def test_each_rule_can_be_broken(entries: Any, record: Any, rule: str) -> None:
    assert rule in broken(entries, *record)


def test_a_call_that_takes_too_long_is_found() -> None:
    slow = entry(1, ANSWER)
    slow.ends[0]["seconds"] = 10 * PATIENT
    assert broken([slow], request(1)) == ["no call takes longer than its own timeouts allow"]

    forgotten = entry(1, AUTH_ERROR)
    forgotten.ends[0]["detail"] = "thebase_auth.httpx.TokenTimeoutError: the timeout of this call"
    assert broken([forgotten]) == ["no call that has time enough runs out of it"]


def test_a_body_says_itself_whether_it_is_whole() -> None:
    content = document("a call", random.Random(1))
    body = json.dumps(content).encode()

    assert what_is_wrong(body, "a call") is None
    assert what_is_wrong(b"", "a call")
    assert what_is_wrong(body[:-5], "a call")
    assert what_is_wrong(body[1000:], "a call")
    assert what_is_wrong(body + b" ", "a call")
    assert what_is_wrong(body, "another call")
    text = content["text"]
    assert what_is_wrong(body.replace(text.encode(), text[:-1].encode()), "a call")
    assert what_is_wrong(body.replace(text.encode(), b"f" * len(text)), "a call")
