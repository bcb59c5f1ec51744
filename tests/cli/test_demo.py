"""The demo tells what happened, and notices when something else happens than it should."""

from __future__ import annotations

import contextlib
import io
import json
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


def test_the_report_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    thebase = Sandbox()
    assert main(["demo"], sandbox=thebase) == 0
    out = capsys.readouterr().out
    for line in (
        "requests     token     fetched: 1 token request, 1 so far",
        "httpx        token     shared: 0 token requests, 2 so far",
        "AsyncClient  token     shared: 0 token requests, 3 so far",
        "lead      201, an id ",
        "הליד נוצר בהצלחה",
        "users     200, 2 users, משה, הילה",
        "revoked   401 for 1 x POST /v2/leads/create before the renewal\n",
        "renewed   1 token request, 4 so far\n",
        "100 threads  revoked   401 for 100 x GET /v2/users before the renewal\n",
        "100 tasks    revoked   401 for 100 x GET /v2/users before the renewal\n",
        "replayed  100 x GET /v2/users, no body, another token\n",
        "answered  100 x 200\n",
        "sandbox      in all    6 token requests\n",
    ):
        assert line in out
    assert "expected" not in out
    assert len(out.splitlines()) == 32

    sizes = {len(one.body) for one in thebase.calls("/v2/leads/create") if one.status == 401}
    for size in sizes:
        assert f"replayed  1 x POST /v2/leads/create, the same {size} bytes" in out

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
    assert "lead      expected 201, an id, got 401\n" in out
    assert "users     expected 200, 2 users, got 401\n" in out
    assert "answered  expected 5 x 200, got 5 x 401\n" in out
    assert "lines are wrong\n" in out.splitlines(keepends=True)[-1]
    for secret in secrets_of(sandbox):
        assert secret not in out


class NeverRevokes(Sandbox):
    """A sandbox whose tokens cannot be ended."""

    def revoke_tokens(self, client: SandboxClient | None = None) -> None:
        """Do nothing."""


def test_a_revocation_without_effect() -> None:
    held, out = run(NeverRevokes())
    assert not held
    revoked = "401 for 1 x POST /v2/leads/create before the renewal"
    assert f"expected {revoked}, got 401 for nothing before the renewal\n" in out
    assert "renewed   expected 1 token request, 2 so far, got 0 token requests, 1 so far\n" in out
    assert "in all    expected 6 token requests, got 1 token request\n" in out


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
    assert "token     expected shared: 0 token requests" in out


def test_an_error_ends_one_part_of_the_run_and_not_the_others() -> None:
    sandbox = Sandbox()
    sandbox.answer_next("/oauth/token", 401, '{"error": "invalid_client"}', times=500)
    held, out = run(sandbox)
    assert not held
    stopped = "stopped   expected an answer, got TokenRequestError: "
    for client in ("requests", "httpx", "AsyncClient", "5 threads", "5 tasks"):
        assert f"{client:<12} {stopped}" in out
    assert len(out.splitlines()) == 8
    for secret in secrets_of(sandbox):
        assert secret not in out


class LosesTheSecret(Sandbox):
    """A sandbox that gives out one token, and none to renew it."""

    def revoke_tokens(self, client: SandboxClient | None = None) -> None:
        """Refuse the tokens, and the secret too."""
        super().revoke_tokens(client)
        self.client.client_secret = "another"


def test_what_led_to_an_error_is_told_before_it() -> None:
    held, out = run(LosesTheSecret())
    assert not held
    assert (
        "             revoked   401 for 1 x POST /v2/leads/create before the renewal\n"
        "             renewed   1 token request, 2 so far\n"
        "             replayed  expected 1 x POST /v2/leads/create, the same 146 bytes,"
        " another token, got nothing, no body, not another token\n"
        "requests     stopped   expected an answer, got TokenRequestError: "
    ) in out


def test_the_statements_of_a_renewal_hold_when_it_went_well() -> None:
    statements = renewal(REFUSED, TOKEN, REPLAYED)
    assert [str(one) for one in statements] == [
        "revoked   401 for 1 x POST /v2/leads/create before the renewal",
        "renewed   1 token request, 2 so far",
        "replayed  1 x POST /v2/leads/create, the same 11 bytes, another token",
    ]
    assert all(one.holds for one in statements)


def test_many_callers_may_come_in_any_order() -> None:
    other = b'{"name": 2}'
    news = [
        REFUSED,
        replace(REFUSED, body=other),
        TOKEN,
        replace(REPLAYED, body=other),
        REPLAYED,
    ]
    assert all(one.holds for one in renewal(*news, callers=2))


@pytest.mark.parametrize(
    ("news", "wrong", "got"),
    [
        ([], "revoked", "401 for nothing before the renewal"),
        ([REFUSED], "renewed", "0 token requests, 1 so far"),
        ([REFUSED, TOKEN, TOKEN, REPLAYED], "renewed", "2 token requests, 3 so far"),
        ([REFUSED, TOKEN], "replayed", "nothing, no body, not another token"),
        (
            [TOKEN, REFUSED, REPLAYED],
            "revoked",
            "401 for nothing before the renewal, for 1 x POST /v2/leads/create after it",
        ),
        (
            [REFUSED, TOKEN, replace(REPLAYED, status=401)],
            "revoked",
            f"401 for 1 x {CALL} before the renewal, for 1 x {CALL} after it",
        ),
        (
            [REFUSED, TOKEN, replace(REPLAYED, body=b"")],
            "replayed",
            "1 x POST /v2/leads/create, no body, another token",
        ),
        (
            [REFUSED, TOKEN, replace(REPLAYED, body=b'{"name": 2}')],
            "replayed",
            "1 x POST /v2/leads/create, 11 other bytes, another token",
        ),
        (
            [REFUSED, TOKEN, replace(REPLAYED, headers=REFUSED.headers)],
            "replayed",
            "1 x POST /v2/leads/create, the same 11 bytes, not another token",
        ),
        (
            [REFUSED, TOKEN, REPLAYED, REPLAYED],
            "replayed",
            "2 x POST /v2/leads/create, 22 other bytes, another token",
        ),
        (
            [REFUSED, TOKEN, replace(REPLAYED, path="/v2/users")],
            "replayed",
            "1 x POST /v2/users, the same 11 bytes, another token",
        ),
    ],
)
def test_a_renewal_that_went_otherwise_is_told_as_it_went(
    news: list[ReceivedRequest], wrong: str, got: str
) -> None:
    statement = next(one for one in renewal(*news) if one.topic == wrong)
    assert not statement.holds
    assert str(statement) == f"{wrong:<9} expected {statement.expected}, got {got}"


def test_callers_who_replay_with_different_tokens_are_noticed() -> None:
    newest = replace(REPLAYED, headers={"authorization": "Bearer newest"})
    *_, replayed = renewal(REFUSED, REFUSED, TOKEN, REPLAYED, newest, callers=2)
    assert replayed.got.endswith("not another token")
    assert not replayed.holds


@pytest.mark.parametrize(
    ("before", "news", "holds", "got"),
    [
        ([], [TOKEN, REPLAYED], True, "fetched: 1 token request, 1 so far"),
        ([], [], False, "fetched: 0 token requests, 0 so far"),
        ([], [TOKEN, TOKEN, REPLAYED], False, "fetched: 2 token requests, 2 so far"),
        (BEFORE, [REFUSED], True, "shared: 0 token requests, 1 so far"),
        (BEFORE, [TOKEN, REPLAYED], False, "fetched: 1 token request, 2 so far"),
        (BEFORE, [REPLAYED], False, "fetched: 0 token requests, 1 so far"),
        (BEFORE, [TOKEN, REFUSED], False, "shared: 1 token request, 2 so far"),
    ],
)
def test_where_the_first_token_of_a_client_comes_from(
    before: list[ReceivedRequest], news: list[ReceivedRequest], holds: bool, got: str
) -> None:
    statement = _report.token_statement(before, [*before, *news])
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
        (answer(201, {"message": "נוצר"}), "expected 201, an id, got 201, no id None, נוצר"),
        (answer(401), "expected 201, an id, got 401"),
    ],
)
def test_what_is_told_of_a_lead(given: requests.Response, line: str) -> None:
    assert str(_report.lead_statement(given)) == f"lead      {line}"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (answer(200, {"items": [{"name": "משה"}, {"name": "הילה"}]}), "200, 2 users, משה, הילה"),
        (answer(200, {"items": [{"name": "משה"}]}), "expected 200, 2 users, got 200, 1 user, משה"),
        (answer(200, {"items": []}), "expected 200, 2 users, got 200, 0 users"),
        (answer(500), "expected 200, 2 users, got 500"),
    ],
)
def test_what_is_told_of_the_users(given: requests.Response, line: str) -> None:
    assert str(_report.users_statement(given)) == f"users     {line}"


def test_a_call_without_an_answer_is_told_as_such() -> None:
    answered: Future[Any] = Future()
    answered.set_result(answer(200))
    failed: Future[Any] = Future()
    failed.set_exception(requests.ReadTimeout("the token 'Bearer x' was late"))
    outcomes = [_report.outcome(one) for one in (answered, failed, Future())]
    assert outcomes == ["200", "ReadTimeout", "no answer"]


def test_a_report_counts_what_does_not_hold() -> None:
    out = io.StringIO()
    report = Report(out)
    report.add("who", [Statement("what", "1", "1", ", or so"), Statement("how", "2", "3")])
    assert (report.count, report.wrong) == (2, 1)
    assert out.getvalue() == ("who          what      1, or so\n             how       expected 2, got 3\n")


def test_a_report_is_printed_as_it_goes() -> None:
    printed = io.BytesIO()
    out = io.TextIOWrapper(printed, encoding="utf-8", newline="\n")

    def statements() -> Iterator[Statement]:
        yield Statement("first", "1", "1")
        assert printed.getvalue() == b"who          first     1\n"

    Report(out).add("who", statements())


def test_a_terminal_without_hebrew_gets_question_marks() -> None:
    printed = io.BytesIO()
    with contextlib.closing(io.TextIOWrapper(printed, encoding="ascii", newline="\n")) as out:
        Report(out).write("users, משה")
        assert printed.getvalue() == b"users, ???\n"
