"""The soak: a short run of it holds, and its account finds what would be wrong."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.soak._account import Account
from benchmarks.soak._bodies import document, document_in, what_is_wrong
from benchmarks.soak._callers import PATIENT
from benchmarks.soak._journal import AUTH_ERROR, CANCELLED, FOREIGN, RESPONSE, Call, End, Entry
from benchmarks.soak._rejections import CACHED, ON_PURPOSE, ONE_SHOT, PERMISSION, REVOKED, THROTTLED
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


def entry(number: int, *outcomes: str, status: int | None = 201, body: str = "bytes", client: str = "main, a client") -> Entry:  # fmt: skip
    call = Call(f"{number}", client, "POST", "/v2/leads/create", body, PATIENT, True, False, None)
    return Entry(call, number, [End(number + 0.1, one, status) for one in outcomes])


def request(number: int, status: int | None = 201, **more: Any) -> dict[str, Any]:
    usual = {"call": f"{number}", "method": "POST", "path": "/v2/leads/create", "status": status,
             "at": number + 0.05, "token": "first", "known": True, "has_permission": True, "wrong": None}  # fmt: skip
    return usual | more


def rejected(number: int, at: float, token: str = "first", **more: Any) -> dict[str, Any]:
    """A request with a token that has ended."""
    return request(number, 401, at=number + at, token=token, known=False, **more)


def token_request(
    number: int, issued: str | None, at: float = 0.03, ended: float | None = None
) -> dict[str, Any]:
    return {"call": f"{number}", "method": "POST", "path": "/oauth/token",
            "status": 200 if issued else 503, "at": number + at, "issued": issued,
            "ended": None if ended is None else number + ended, "token": None, "wrong": None}  # fmt: skip


def account_of(entries: list[Entry], *record: dict[str, Any], revocations: int = 9) -> Account:
    """The account of these calls, and of twenty that went well before."""
    well = range(100, 120)
    return Account(
        [*(entry(number, RESPONSE) for number in well), *deepcopy(entries)],  # some are in several tests
        [token_request(100, "first"), *(request(number) for number in well), *record],
        revocations=revocations,
        cache_failures=0,
    )


def broken(*arguments: Any, **more: Any) -> list[str]:
    """The checks that do not hold."""
    return [check.name for check in account_of(*arguments, **more).checks() if check.faults]


def test_what_goes_well_breaks_no_rule() -> None:
    replayed = [rejected(201, 0.02), token_request(202, None), token_request(201, "second"), request(201, token="second")]  # fmt: skip
    entries = [entry(201, RESPONSE), entry(202, AUTH_ERROR)]

    assert broken(entries, *replayed, revocations=1) == []
    assert broken([entry(201, CANCELLED)], request(201)) == []
    assert broken([entry(201, CANCELLED)]) == []


@pytest.mark.parametrize(
    ("entries", "record", "rule"),
    [
        ([entry(201)], [], "every call ends once"),
        ([entry(201, CANCELLED, CANCELLED)], [], "every call ends once"),
        ([entry(201, FOREIGN)], [], "every call ends with a response, an error of its library, or its own cancellation"),
        ([entry(201, RESPONSE)], [], "the response that a caller got is the sandbox's last one"),
        ([entry(201, RESPONSE)], [request(201, 401)], "the response that a caller got is the sandbox's last one"),
        ([entry(201, CANCELLED)], [request(201, wrong="half of it")], "every body arrives whole and untouched"),
        ([entry(201, RESPONSE)], [request(201), request(201)], "no write is carried out twice"),
        ([entry(201, RESPONSE)], [request(201, None), request(201, token="second")], "nothing is sent again but after a 401, with another token"),
        ([entry(201, RESPONSE)], [rejected(201, 0.01), request(201)], "nothing is sent again but after a 401, with another token"),
        ([entry(201, RESPONSE)], [*(rejected(201, n / 100, f"{n}") for n in range(3)), request(201)], "nothing is sent again but after a 401, with another token"),
        ([entry(201, AUTH_ERROR)], [request(201)], "what ends with an error of thebase_auth was not carried out"),
        ([entry(201, RESPONSE, body="generator")], [request(201, 401), request(201)], "a body that can be sent once is sent once"),
        ([], [request(201)], "every request that arrives is one of a call"),
        ([], [token_request(100, None)], "no call asks for a token more than once to begin with, and once for each 401"),
        ([], [token_request(101, "second"), request(100, 401, token="second", known=False)], "no token request but those explained"),
        ([], [token_request(101, "second")], "tokens that nobody used are no more than calls without a response"),
        ([], [request(100, 401, token="forged")], "no token is used but those issued"),
        ([entry(number, CANCELLED) for number in range(201, 222)], [], "at least 50% of the calls succeed"),
    ],
)  # fmt: skip
def test_each_rule_can_be_broken(entries: Any, record: Any, rule: str) -> None:
    assert rule in broken(entries, *record, revocations=0)


def test_a_call_that_takes_too_long_is_found() -> None:
    slow = entry(201, RESPONSE)
    slow.ends[0] = End(201 + 11 * PATIENT, RESPONSE, 201)
    assert broken([slow], request(201)) == ["no call takes longer than its own timeouts allow"]


@pytest.mark.parametrize(
    ("failed", "is_found"), [("another one took more than 5 seconds", True), ("ConnectError: dropped", False)]
)
def test_a_call_that_waits_in_vain_is_found(failed: str, is_found: bool) -> None:
    gave_up = entry(201, AUTH_ERROR)
    detail = f"thebase_auth.httpx.TokenTimeoutError: it gave up (ConnectError: dropped; {failed})"
    gave_up.ends[0] = gave_up.end._replace(detail=detail)
    assert broken([gave_up]) == ["no call that has time enough runs out of it"] * is_found


# A 401 and its reason

OTHER = "child 1, requests threads"
ENDED = token_request(200, "other's", ended=1.001)  # fetched by the call before, ended under the next


def got_401(number: int = 201, **more: Any) -> Entry:
    return entry(number, RESPONSE, status=401, **more)


def renewed(number: int, token: str) -> list[dict[str, Any]]:
    """A call whose token is replaced by one that is revoked under the replay."""
    return [
        rejected(number, 0.01, token="T0"),
        token_request(number, token, 0.03, ended=0.04),
        rejected(number, 0.05, token),
    ]


FIRST, SECOND = renewed(201, "A"), renewed(202, "B")
BOTH = [got_401(201), got_401(202)]


@pytest.mark.parametrize(
    ("entries", "record", "reason"),
    [
        # permission
        ([got_401()], [request(201, 401, has_permission=False)], PERMISSION),
        ([got_401()], [request(201, 401, has_permission=False, known=False)], None),
        # the body
        ([got_401(body="generator")], [rejected(201, 0.05)], ONE_SHOT),
        ([got_401(body="multipart")], [rejected(201, 0.05)], None),
        # rejected on purpose: it explains no first 401
        ([got_401()], [rejected(201, 0.01), token_request(201, "A"), request(201, 401, token="A")], ON_PURPOSE),
        ([got_401()], [request(201, 401)], None),
        # revoked under the replay; a token that the process had before gets another one
        ([got_401()], FIRST, REVOKED),
        ([got_401()], [rejected(201, 0.02), ENDED, rejected(201, 0.05, "other's")], None),
        ([got_401()], [rejected(201, 0.02), ENDED | {"at": 201.025, "ended": 201.03}, rejected(201, 0.05, "other's")], REVOKED),
        ([got_401()], [rejected(201, 0.02), ENDED | {"at": 201.025, "ended": 201.06}, rejected(201, 0.05, "other's")], None),
        # so does a token of another process
        ([got_401(client=OTHER)], [rejected(201, 0.02), ENDED, rejected(201, 0.05, "other's")], None),
        ([got_401(client=OTHER)], [rejected(201, 0.01), rejected(201, 0.02, "x"), ENDED, rejected(201, 0.05, "other's")], CACHED),
        # throttled, after three rejected tokens and no longer than it lasts
        ([*BOTH, got_401(203)], [*FIRST, *SECOND, rejected(203, 0.05, "B")], THROTTLED),
        ([*BOTH, got_401(204)], [*FIRST, *SECOND, rejected(204, 0.05, "B")], None),
        ([got_401(201), got_401(202)], [*FIRST, rejected(202, 0.05, "A")], None),
        ([*BOTH, got_401(203, client=OTHER)], [*FIRST, *SECOND, rejected(203, 0.05, "B")], None),
        ([*BOTH, got_401(203), got_401(205)], [*FIRST, *SECOND, *renewed(203, "C"), rejected(205, 0.05, "C")], THROTTLED),
    ],
)  # fmt: skip
def test_each_reason_of_a_401_is_seen_and_nothing_else(entries: Any, record: Any, reason: str | None) -> None:
    fetched_before = [entry(200, RESPONSE)]
    account = account_of([*fetched_before, *entries], request(200), *record)

    assert account.reasons[reason] >= 1
    assert (None in account.reasons) is (reason is None)
    rule = "every 401 that reaches a caller has its reason"
    assert (rule in [check.name for check in account.checks() if check.faults]) is (reason is None)


@pytest.mark.parametrize("at", [201.5, 202.5])
@pytest.mark.parametrize(("token", "is_throttled"), [("new", False), ("first", True)])
def test_a_renewal_that_helps_ends_the_throttling(at: float, token: str, is_throttled: bool) -> None:
    """Two of the three tokens are rejected before half past, or all of them; an old token helps nobody."""
    helped = replace(entry(300, RESPONSE), began=at, ends=[End(at + 0.2, RESPONSE, 201)])
    record = [
        request(300, 401, at=at + 0.05, token="T0", known=False),
        token_request(300, "new") | {"at": at + 0.07},
        request(300, token=token) | {"at": at + 0.1},
    ]
    last = rejected(203, 0.05, "B")
    assert (THROTTLED in account_of([*BOTH, helped, got_401(203)], *FIRST, *SECOND, *record, last).reasons) is is_throttled  # fmt: skip


def test_a_body_says_itself_whether_it_is_whole() -> None:
    content = document("a call", random.Random(1))
    body = json.dumps(content).encode()

    assert what_is_wrong(body, "a call") is None
    assert what_is_wrong(body, "a call~2") is None
    assert what_is_wrong(b"", "a call")
    assert what_is_wrong(body[:-5], "a call")
    assert what_is_wrong(body[1000:], "a call")
    assert what_is_wrong(body + b" ", "a call")
    assert what_is_wrong(body, "another call")
    assert what_is_wrong(body.replace(b'"call"', b'"cell"'), "a call")
    text = content["text"]
    assert what_is_wrong(body.replace(text.encode(), text[:-1].encode()), "a call")
    assert what_is_wrong(body.replace(text.encode(), b"f" * len(text)), "a call")


def test_the_document_is_taken_out_of_multipart_that_is_whole() -> None:
    form = "multipart/form-data; boundary=b"
    whole = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n{}\r\n--b--\r\n'

    assert document_in(whole, form) == b"{}"
    assert document_in(b"{}", "application/json") == b"{}"
    for cut in range(len(whole)):
        assert document_in(whole[:cut], form) == whole[:cut]
