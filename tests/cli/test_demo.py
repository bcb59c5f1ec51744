"""The demo tells what happened, and notices when something else happens than it should."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
import requests

from thebase_auth._cli import _demo, _report, main
from thebase_auth._cli._report import Report, Statement
from thebase_auth.testing import ReceivedRequest, Sandbox, SandboxClient

TOKEN = ReceivedRequest("POST", "/oauth/token", {"authorization": "Basic c2VjcmV0"}, b"g=c", 200)
REFUSED = ReceivedRequest("POST", "/v2/leads/create", {"authorization": "Bearer old"}, b'{"name": 1}', 401)
REPLAYED = replace(REFUSED, headers={"authorization": "Bearer new"}, status=201)
CALL = "POST /v2/leads/create"

# What the sandbox has received before: a token request, and a call with that token.
BEFORE = [TOKEN, replace(REFUSED, status=201)]


def run(sandbox: Sandbox, *, callers: int = 5) -> tuple[bool, str]:
    out = io.StringIO()
    return _demo.run_demo(out, sandbox, callers=callers), out.getvalue()


def secrets_of(sandbox: Sandbox) -> set[str]:
    """The client's secret, and all tokens and Basic credentials that the sandbox was sent."""
    sent = {one.headers["authorization"].partition(" ")[2] for one in sandbox.received}
    return {sandbox.client_secret} | sent


def renewal(*news: ReceivedRequest, callers: int = 1) -> list[Statement]:
    return list(_report.renewal_statements(BEFORE, [*BEFORE, *news], CALL, callers=callers))


def lines_of(out: str) -> list[str]:
    """The lines of a report in a pipe, with one space between what they claim and what shows it."""
    return [re.sub("  +", " ", line.strip()) for line in out.splitlines()]


def test_the_report_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    thebase = Sandbox()
    assert main(["demo"], sandbox=thebase) == 0
    out = capsys.readouterr().out
    lines = lines_of(out)
    assert lines[0].startswith(f"A TheBase for tests runs on this machine, at {thebase.domain}. ")
    sizes = [len(one.body) for one in thebase.calls("/v2/leads/create") if one.status == 401]
    assert len(sizes) == 3
    expected = [""]
    for number, library in enumerate(("requests", "httpx", "httpx with asyncio")):
        had = "it takes the token that is there 0 token requests, the same token"
        expected += [
            f"A program that uses {library}",
            f"ok {had if number else 'it fetches a token 1 token request, a new token'}",
            "ok it creates a lead 201, an id ...ID, הליד נוצר בהצלחה",
            "ok it lists the users 200, 2 users, משה, הילה",
            "-- TheBase ends the token",
            "ok its next call is refused 401 for POST /v2/leads/create",
            "ok it fetches a new token 1 token request",
            f"ok it sends the same call again the same {sizes[number]} bytes, a new token",
            "ok all that the program sees is its lead 201, an id ...ID, הליד נוצר בהצלחה",
            "",
        ]
    for callers in ("100 threads", "100 asyncio tasks"):
        expected += [
            f"{callers} at the same moment",
            "-- TheBase ends the token, and all 100 call at once",
            "ok all 100 calls are refused 401 for 100 x GET /v2/users",
            "ok 1 fetches a new token, 99 wait 1 token request",
            "ok all 100 are sent again 100 x GET /v2/users, a new token",
            "ok all 100 get their answer 100 x 200",
            "",
        ]
    expected += ["All together", "ok one at first, one for each that ended 6 token requests", ""]
    assert [re.sub(r"\.\.\.\d{4}", "...ID", line) for line in lines[1:-3]] == expected
    assert re.fullmatch(r"All 30 lines are right \(\d+\.\d s\)", lines[-3])
    assert lines[-1] == "All it takes: session.auth = TheBaseAuth(...)"
    assert lines[-2].startswith(
        "5 times a token ended while it was in use, and 203 calls were refused. Each "
    )

    assert thebase.token_requests == 6
    assert len(secrets_of(thebase)) == 1 + 6 + 1  # the secret, the tokens, the Basic credentials
    for secret in secrets_of(thebase):
        assert secret not in out


@pytest.mark.parametrize(
    "sandbox",
    [Sandbox(single_token=True), Sandbox(expires_in=0), Sandbox(expires_in="soon")],
    ids=["one token at a time", "tokens past their time", "no lifetime"],
)
def test_it_holds_on_servers_of_other_habits(sandbox: Sandbox) -> None:
    held, out = run(sandbox)
    assert held, out


def test_tokens_that_are_always_refused() -> None:
    sandbox = Sandbox()
    # Tokens that this sandbox has never issued.
    for number in range(500):
        token = json.dumps({"access_token": f"unknown-{number}", "token_type": "bearer"})
        sandbox.answer_next("/oauth/token", 200, token)
    held, out = run(sandbox)
    assert not held
    lines = lines_of(out)
    assert "no it creates a lead expected 201, an id, got 401" in lines
    assert "no it lists the users expected 200, 2 users, got 401" in lines
    assert "no all 5 get their answer expected 5 x 200, got 5 x 401" in lines
    assert re.fullmatch(r"\d+ of 30 lines are wrong \(\d+\.\d s\)", lines[-1])
    for secret in secrets_of(sandbox):
        assert secret not in out


class NeverRevokes(Sandbox):
    """A sandbox whose tokens cannot be ended."""

    def revoke_tokens(self, client: SandboxClient | None = None) -> None:
        """Do nothing."""


def test_a_revocation_without_effect() -> None:
    held, out = run(NeverRevokes())
    assert not held
    lines = lines_of(out)
    refused = "expected 401 for POST /v2/leads/create, got 401 for nothing"
    assert f"no its next call is refused {refused}" in lines
    assert "no it fetches a new token expected 1 token request, got 0 token requests" in lines
    assert "no one at first, one for each that ended expected 6 token requests, got 1 token request" in lines


class RevokesTooMuch(Sandbox):
    """A sandbox whose tokens end whenever somebody looks at its record."""

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """The requests answered so far."""
        super().revoke_tokens()
        return super().received


def test_more_revocations_than_there_should_be() -> None:
    held, out = run(RevokesTooMuch())
    assert not held
    assert "no it takes the token that is there expected 0 token requests, the same token, got" in "\n".join(
        lines_of(out)
    )


def test_an_error_ends_one_part_of_the_run_and_not_the_others() -> None:
    sandbox = Sandbox()
    sandbox.answer_next("/oauth/token", 401, '{"error": "invalid_client"}', times=500)
    held, out = run(sandbox)
    assert not held
    lines = lines_of(out)
    titles = [place for place, line in enumerate(lines) if line.startswith(("A program", "5 "))]
    assert len(titles) == 5
    for title in titles:
        stopped = "no the program goes on expected an answer, got TokenRequestError: "
        assert lines[title + 1].startswith(stopped)
        assert lines[title + 2] == ""
    for secret in secrets_of(sandbox):
        assert secret not in out


class LosesTheSecret(Sandbox):
    """A sandbox that gives out one token, and none to renew it."""

    def revoke_tokens(self, client: SandboxClient | None = None) -> None:
        """Refuse the tokens, and the secret too."""
        super().revoke_tokens(client)
        self.client.client_secret = "another"


def test_what_led_to_an_error_is_reported_before_it() -> None:
    held, out = run(LosesTheSecret())
    assert not held
    assert (
        "ok its next call is refused 401 for POST /v2/leads/create\n"
        "ok it fetches a new token 1 token request\n"
        "no it sends the same call again expected the same 146 bytes, a new token,"
        " got nothing, no body, not a new token\n"
        "no the program goes on expected an answer, got TokenRequestError: "
    ) in "\n".join(lines_of(out))


def test_the_statements_of_a_renewal_hold_when_it_went_well() -> None:
    statements = renewal(REFUSED, TOKEN, REPLAYED)
    assert [one.evidence for one in statements] == [
        "401 for POST /v2/leads/create",
        "1 token request",
        "the same 11 bytes, a new token",
    ]
    assert all(one.holds for one in statements)


def test_many_callers_may_come_in_any_order() -> None:
    other = b'{"name": 2}'
    news = [REFUSED, replace(REFUSED, body=other), TOKEN, replace(REPLAYED, body=other), REPLAYED]
    assert all(one.holds for one in renewal(*news, callers=2))


REFUSAL, FETCH, REPLAY = range(3)


@pytest.mark.parametrize(
    ("news", "wrong", "got"),
    [
        ([], REFUSAL, "401 for nothing"),
        ([REFUSED], FETCH, "0 token requests"),
        ([REFUSED, TOKEN, TOKEN, REPLAYED], FETCH, "2 token requests"),
        ([REFUSED, TOKEN], REPLAY, "nothing, no body, not a new token"),
        ([TOKEN, REFUSED, REPLAYED], REFUSAL, f"401 for nothing, and after the renewal for {CALL}"),
        (
            [REFUSED, TOKEN, replace(REPLAYED, status=401)],
            REFUSAL,
            f"401 for {CALL}, and after the renewal for {CALL}",
        ),
        ([REFUSED, TOKEN, replace(REPLAYED, body=b"")], REPLAY, f"{CALL}, no body, a new token"),
        ([REFUSED, TOKEN, replace(REPLAYED, body=b'{"name": 2}')], REPLAY, "11 other bytes, a new token"),
        (
            [REFUSED, TOKEN, replace(REPLAYED, headers=REFUSED.headers)],
            REPLAY,
            "the same 11 bytes, not a new token",
        ),
        ([REFUSED, TOKEN, REPLAYED, REPLAYED], REPLAY, f"2 x {CALL}, 22 other bytes, a new token"),
        (
            [REFUSED, TOKEN, replace(REPLAYED, path="/v2/users")],
            REPLAY,
            "POST /v2/users, the same 11 bytes, a new token",
        ),
        ([replace(REFUSED, body=b""), TOKEN, REPLAYED], REPLAY, f"{CALL}, 11 other bytes, a new token"),
    ],
)
def test_a_renewal_that_went_otherwise_is_reported_as_it_went(
    news: list[ReceivedRequest], wrong: int, got: str
) -> None:
    statement = renewal(*news)[wrong]
    assert not statement.holds
    assert statement.evidence == f"expected {statement.expected}, got {got}"


def test_callers_who_replay_with_different_tokens_are_noticed() -> None:
    newest = replace(REPLAYED, headers={"authorization": "Bearer newest"})
    *_, replayed = renewal(REFUSED, REFUSED, TOKEN, REPLAYED, newest, callers=2)
    assert replayed.got.endswith("not a new token")
    assert not replayed.holds


@pytest.mark.parametrize(
    ("before", "news", "holds", "got"),
    [
        ([], [TOKEN, REPLAYED], True, "1 token request, a new token"),
        ([], [], False, "0 token requests, a new token"),
        ([], [TOKEN, TOKEN, REPLAYED], False, "2 token requests, a new token"),
        (BEFORE, [REFUSED], True, "0 token requests, the same token"),
        (BEFORE, [TOKEN, REPLAYED], False, "1 token request, a new token"),
        (BEFORE, [REPLAYED], False, "0 token requests, a new token"),
        (BEFORE, [TOKEN, REFUSED], False, "1 token request, the same token"),
    ],
)
def test_where_the_first_token_of_a_client_comes_from(
    before: list[ReceivedRequest], news: list[ReceivedRequest], holds: bool, got: str
) -> None:
    statement = _report.token_statement("it has a token", before, [*before, *news])
    assert statement.got == got
    assert statement.holds is holds


def answer(status: int, body: Any = None) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = json.dumps(body).encode()
    return response


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (answer(201, {"id": "7", "message": "נוצר"}), "201, an id 7, נוצר"),
        (answer(201, {"id": "27191781", "message": "נוצר"}), "201, an id ...1781, נוצר"),
        (answer(201, {"message": "נוצר"}), "expected 201, an id, got 201, no id None, נוצר"),
        (answer(401), "expected 201, an id, got 401"),
    ],
)
def test_what_is_shown_of_a_lead(given: requests.Response, line: str) -> None:
    assert _report.lead_statement("a lead", given).evidence == line


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (answer(200, {"items": [{"name": "משה"}, {"name": "הילה"}]}), "200, 2 users, משה, הילה"),
        (answer(200, {"items": [{"name": "משה"}]}), "expected 200, 2 users, got 200, 1 user, משה"),
        (answer(200, {"items": []}), "expected 200, 2 users, got 200, 0 users"),
        (answer(500), "expected 200, 2 users, got 500"),
    ],
)
def test_what_is_shown_of_the_users(given: requests.Response, line: str) -> None:
    assert _report.users_statement("users", given).evidence == line


def test_a_call_without_an_answer_is_reported_as_such() -> None:
    answered: Future[Any] = Future()
    answered.set_result(answer(200))
    failed: Future[Any] = Future()
    failed.set_exception(requests.ReadTimeout("the token 'Bearer x' was late"))
    outcomes = [_report.outcome(one) for one in (answered, failed, Future())]
    assert outcomes == ["200", "ReadTimeout", "no answer"]


def test_a_report_counts_what_does_not_hold() -> None:
    out = io.StringIO()
    report = Report(out)
    report.add([Statement("what", "1", "1", ", or so"), Statement("how", "2", "3")])
    assert (report.count, report.wrong) == (2, 1)
    assert lines_of(out.getvalue()) == ["ok what 1, or so", "no how expected 2, got 3"]


def test_a_report_is_printed_as_it_goes() -> None:
    printed = io.BytesIO()
    out = io.TextIOWrapper(printed, encoding="utf-8", newline="\n")

    def statements() -> Iterator[Statement]:
        yield Statement("first", "1", "1")
        assert printed.getvalue().split() == [b"ok", b"first", b"1"]

    Report(out).add(statements())


def test_a_terminal_without_hebrew_gets_question_marks() -> None:
    printed = io.BytesIO()
    with contextlib.closing(io.TextIOWrapper(printed, encoding="ascii", newline="\n")) as out:
        Report(out).text("users, משה")
        assert printed.getvalue() == b"users, ???\n"
