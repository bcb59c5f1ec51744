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
from benchmarks.soak._journal import ANSWER, AUTH_ERROR, CANCELLED, FOREIGN, Call, End, Entry
from benchmarks.soak._refusals import ON_PURPOSE, ONCE, PAUSE, REVOKED, RIGHT, STALE, TWICE
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
             "at": number + 0.05, "token": "first", "known": True, "has_right": True, "wrong": None}  # fmt: skip
    return usual | more


def dead(number: int, at: float, token: str = "first", **more: Any) -> dict[str, Any]:
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
        [*(entry(number, ANSWER) for number in well), *deepcopy(entries)],  # some are in several tests
        [token_request(100, "first"), *(request(number) for number in well), *record],
        revocations=revocations,
        cache_failures=0,
    )


def broken(*arguments: Any, **more: Any) -> list[str]:
    """The checks that do not hold."""
    return [check.name for check in account_of(*arguments, **more).checks() if check.faults]


def test_what_goes_well_breaks_no_rule() -> None:
    replayed = [dead(201, 0.02), token_request(202, None), token_request(201, "second"), request(201, token="second")]  # fmt: skip
    entries = [entry(201, ANSWER), entry(202, AUTH_ERROR)]

    assert broken(entries, *replayed, revocations=1) == []
    assert broken([entry(201, CANCELLED)], request(201)) == []
    assert broken([entry(201, CANCELLED)]) == []


@pytest.mark.parametrize(
    ("entries", "record", "rule"),
    [
        ([entry(201)], [], "every call ends once"),
        ([entry(201, CANCELLED, CANCELLED)], [], "every call ends once"),
        ([entry(201, FOREIGN)], [], "every call ends with an answer, an error of its library, or its own cancellation"),
        ([entry(201, ANSWER)], [], "what a caller was answered is what the sandbox answered"),
        ([entry(201, ANSWER)], [request(201, 401)], "what a caller was answered is what the sandbox answered"),
        ([entry(201, CANCELLED)], [request(201, wrong="half of it")], "every body arrives whole and untouched"),
        ([entry(201, ANSWER)], [request(201), request(201)], "no write is carried out twice"),
        ([entry(201, ANSWER)], [request(201, None), request(201, token="second")], "nothing is sent again but after a 401, with another token"),
        ([entry(201, ANSWER)], [dead(201, 0.01), request(201)], "nothing is sent again but after a 401, with another token"),
        ([entry(201, ANSWER)], [*(dead(201, n / 100, f"{n}") for n in range(3)), request(201)], "nothing is sent again but after a 401, with another token"),
        ([entry(201, AUTH_ERROR)], [request(201)], "what ends with an error of thebase_auth was not carried out"),
        ([entry(201, ANSWER, body="generator")], [request(201, 401), request(201)], "a body that can be sent once is sent once"),
        ([], [request(201)], "every request that arrives is one of a call"),
        ([], [token_request(100, None)], "no call asks for a token more than once to begin with, and once for each refusal"),
        ([], [token_request(101, "second"), request(100, 401, token="second", known=False)], "no token request but those explained"),
        ([], [token_request(101, "second")], "tokens that nobody used are no more than calls without an answer"),
        ([], [request(100, 401, token="forged")], "no token is used but those issued"),
        ([entry(number, CANCELLED) for number in range(201, 222)], [], "at least 50% of the calls succeed"),
    ],
)  # fmt: skip
def test_each_rule_can_be_broken(entries: Any, record: Any, rule: str) -> None:
    assert rule in broken(entries, *record, revocations=0)


def test_a_call_that_takes_too_long_is_found() -> None:
    slow = entry(201, ANSWER)
    slow.ends[0] = End(201 + 10 * PATIENT, ANSWER, 201)
    assert broken([slow], request(201)) == ["no call takes longer than its own timeouts allow"]

    forgotten = entry(201, AUTH_ERROR)
    detail = "thebase_auth.httpx.TokenTimeoutError: this call timed out"
    forgotten.ends[0] = forgotten.end._replace(detail=detail)
    assert broken([forgotten]) == ["no call that has time enough runs out of it"]


# A 401 and its reason

OTHER = "child 1, requests threads"
ENDED = token_request(200, "other's", ended=1.001)  # fetched by the call before, ended under the next


def got_401(number: int = 201, **more: Any) -> Entry:
    return entry(number, ANSWER, status=401, **more)


def sent_again(one: Entry) -> Entry:
    return replace(one, call=replace(one.call, id=f"{one.call.id}~2"))


def again(*record: dict[str, Any]) -> list[dict[str, Any]]:
    return [one | {"call": f"{one['call']}~2"} for one in record]


def strike(number: int, token: str) -> list[dict[str, Any]]:
    """A token that is fetched after a 401 of the call, and revoked under the replay."""
    return [
        dead(number, 0.01, token=f"before {token}"),
        token_request(number, token, 0.03, ended=0.04),
        dead(number, 0.05, token),
    ]


FIRST, SECOND = strike(201, "A"), strike(202, "B")
STRUCK = [got_401(201), got_401(202)]


@pytest.mark.parametrize(
    ("entries", "record", "reason"),
    [
        # the right
        ([got_401()], [request(201, 401, has_right=False)], RIGHT),
        ([got_401()], [request(201, 401, has_right=False, known=False)], None),
        # the body
        ([got_401(body="generator")], [dead(201, 0.05)], ONCE),
        ([got_401(body="multipart")], [dead(201, 0.05)], None),
        # refused on purpose: it explains no first 401
        ([got_401()], [dead(201, 0.01), token_request(201, "A"), request(201, 401, token="A")], ON_PURPOSE),
        ([got_401()], [request(201, 401)], None),
        # revoked under the replay, or before
        ([got_401()], FIRST, REVOKED),
        ([got_401()], [dead(201, 0.02), ENDED | {"ended": 201.03}, dead(201, 0.05, "other's")], REVOKED),
        ([got_401()], [dead(201, 0.02), ENDED | {"ended": 201.01}, dead(201, 0.05, "other's")], None),
        ([got_401()], [dead(201, 0.02), ENDED | {"at": 201.001, "ended": 201.01}, dead(201, 0.05, "other's")], TWICE),
        ([got_401()], [dead(201, 0.02), ENDED | {"ended": 201.06}, dead(201, 0.05, "other's")], None),
        # a token of another process gets another replay
        ([got_401(client=OTHER)], [dead(201, 0.02), ENDED | {"ended": 201.03}, dead(201, 0.05, "other's")], None),
        ([got_401(client=OTHER)], [dead(201, 0.01), dead(201, 0.02, "x"), ENDED | {"ended": 201.03}, dead(201, 0.05, "other's")], REVOKED),
        ([got_401(client=OTHER)], [dead(201, 0.01), dead(201, 0.02, "x"), ENDED, dead(201, 0.05, "other's")], None),
        ([sent_again(got_401(client=OTHER))], [*again(dead(201, 0.01), dead(201, 0.02, "x")), ENDED, *again(dead(201, 0.05, "other's"))], STALE),
        # a pause, after two strikes and no longer than it lasts
        ([*STRUCK, got_401(203)], [*FIRST, *SECOND, dead(203, 0.05)], PAUSE),
        ([*STRUCK, got_401(204)], [*FIRST, *SECOND, dead(204, 0.05)], None),
        ([got_401(201), got_401(203)], [*FIRST, dead(203, 0.05)], None),
        ([*STRUCK, got_401(203, client=OTHER)], [*FIRST, *SECOND, dead(203, 0.05)], None),
        ([*STRUCK, got_401(203), got_401(205)], [*FIRST, *SECOND, *strike(203, "C"), dead(205, 0.05)], PAUSE),
        # nothing else is a strike
        ([got_401(201, body="generator"), got_401(202, body="generator"), got_401(203)], [dead(201, 0.05), dead(202, 0.05), dead(203, 0.05)], None),
        ([entry(201, CANCELLED), entry(202, CANCELLED), got_401(203)], [dead(201, 0.05), dead(202, 0.05), dead(203, 0.05)], None),
    ],
)  # fmt: skip
def test_each_reason_of_a_401_is_seen_and_nothing_else(entries: Any, record: Any, reason: str | None) -> None:
    fetched_before = [entry(200, ANSWER)]
    account = account_of([*fetched_before, *entries], request(200), *record)

    assert account.reasons[reason] >= 1
    assert (None in account.reasons) is (reason is None)
    rule = "every 401 that reaches a caller has its reason"
    assert (rule in [check.name for check in account.checks() if check.faults]) is (reason is None)


def test_an_acceptance_ends_a_pause_and_forgets_strikes() -> None:
    accepted = replace(entry(300, ANSWER), began=202.2, ends=[End(202.4, ANSWER, 201)])
    taken = request(300) | {"at": 202.3}
    assert PAUSE not in account_of([*STRUCK, accepted, got_401(203)], *FIRST, *SECOND, taken, dead(203, 0.05)).reasons  # fmt: skip

    between = replace(accepted, began=201.2, ends=[End(201.4, ANSWER, 201)])
    earlier = taken | {"at": 201.3}
    assert PAUSE not in account_of([*STRUCK, between, got_401(203)], *FIRST, *SECOND, earlier, dead(203, 0.05)).reasons  # fmt: skip


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
