"""What a failed assertion on received requests says, and which levers were not used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import httpx
import pytest

from tests.support import ROOT
from tests.support.pythons import run_pytest
from thebase_auth.testing import ReceivedRequest, Sandbox
from thebase_auth.testing._assertions import ANYTHING, assert_in


def post(document: Any, status: int = 201, path: str = "/v2/leads/create") -> ReceivedRequest:
    return ReceivedRequest("POST", path, {}, json.dumps(document).encode(), status)


def failure(
    received: list[ReceivedRequest],
    call: str = "POST /v2/leads/create",
    times: int | None = None,
    *,
    status: int | None = None,
    json: object = ANYTHING,
) -> str:
    with pytest.raises(AssertionError) as caught:
        assert_in(tuple(received), call, times, status, json)
    return str(caught.value).splitlines()[0]


def difference(actual: Any, expected: Any) -> str:
    begin, _, rest = failure([post(actual)], json=expected).partition(" differs: ")
    assert begin == "POST /v2/leads/create 201"
    return rest


@pytest.mark.parametrize(
    ("actual", "expected", "differs"),
    [
        ({"a": 1}, {"a": 2}, "a is 1, not 2"),
        ({"a": "שלום"}, {"a": None}, 'a is "שלום", not null'),
        ({"a": 1}, {"a": 1, "b": 2}, "b is missing"),
        ({"a": 1, "b": 2}, {"a": 1}, "b is unexpected"),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, "a.b[1].c is 2, not 3"),
        ({"a": [1]}, {"a": [1, 2]}, "a is [1], not [1, 2]"),
        ({"a": 1, "b": 1}, {"a": ANY, "b": 2}, "b is 1, not 2"),
        ([1, 2], [1, 3], "[1] is 2, not 3"),
        (1, {"a": 1}, 'the body is 1, not {"a": 1}'),
        ({"a": "x" * 80}, {"a": 1}, f'a is "{"x" * 59}..., not 1'),
        (
            {"a": 1, "b": 1, "c": 1, "d": 1},
            {"b": 2, "a": 2, "c": 2, "d": 2},
            "b is 1, not 2, a is 1, not 2, c is 1, not 2, ...",
        ),
    ],
)
def test_what_differs_in_a_body_is_named_by_its_place(actual: Any, expected: Any, differs: str) -> None:
    assert difference(actual, expected) == differs


def test_a_body_that_is_not_json_is_said_to_be_none() -> None:
    received = ReceivedRequest("POST", "/v2/leads/create", {}, b"a=1", 415)
    line = "POST /v2/leads/create 415 differs: the status is 415, not 201, the body is not that JSON"
    assert failure([received], status=201, json={"a": 1}) == line


def test_a_body_that_is_too_deep_to_be_read_is_not_that_json() -> None:
    received = ReceivedRequest("POST", "/v2/leads/create", {}, b"[" * 100_000 + b"]" * 100_000, 400)
    assert failure([received], json=[]) == "POST /v2/leads/create 400 differs: the body is not that JSON"


def test_the_nearest_request_is_the_last_of_those_that_differ_least() -> None:
    received = [
        post({"a": 1, "b": 1}, path="/v2/leads/create?1"),
        post({"a": 2, "b": 1}, path="/v2/leads/create?2"),
        post({"a": 2, "b": 2}, path="/v2/leads/create?3"),
        post({"a": 1, "b": 1}, path="/v2/leads/create?4"),
    ]
    line = failure(received, json={"a": 2, "b": 3})
    assert line == "POST /v2/leads/create?3 201 differs: b is 2, not 3"


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ("POST /v2/lead/create", "POST /v2/leads/create came, not POST /v2/lead/create"),
        ("PUT /v2/leads/create", "POST /v2/leads/create came, not PUT /v2/leads/create"),
        ("/v2/leads/creat", "/v2/leads/create came, not /v2/leads/creat"),
        ("DELETE /v2/products/7", "no DELETE /v2/products/7 came"),
    ],
)
def test_another_call_that_came_instead_is_named(call: str, line: str) -> None:
    received = [post({}), ReceivedRequest("GET", "/v2/users?limit=1", {}, b"", 200)]
    assert failure(received, call) == line


def test_a_body_that_may_hold_a_secret_is_not_told() -> None:
    received = post({"client_secret": "canary"}, 401, "/oauth/token")
    line = failure([received], "/oauth/token", json={"client_secret": 1})
    assert line == "POST /oauth/token 401 differs: the body is another"


def test_enough_of_one_and_too_few_of_another() -> None:
    received = [post(1), post(1)]
    assert failure(received, times=3) == (
        "received 2 x POST /v2/leads/create, expected 3; all that was received:"
    )


def test_the_frames_of_the_kit_are_not_shown(tmp_path: Path) -> None:
    ended = run_pytest(
        tmp_path,
        """
def test_it(thebase):
    thebase.assert_received("GET /v2/users")
""",
    )
    assert "1 failed" in ended.stdout
    assert "test_it.py:3: AssertionError" in ended.stdout
    assert "_sandbox.py" not in ended.stdout
    assert "_assertions.py" not in ended.stdout
    assert "E       AssertionError: no GET /v2/users came" in ended.stdout


def test_the_page_shows_what_is_said() -> None:
    lead = {"name": "Dana Levi", "f_name": "Dana", "phone": "0501234567"}
    received = (ReceivedRequest("POST", "/oauth/token", {}, b"", 200), post(lead))
    with pytest.raises(AssertionError) as caught:
        assert_in(received, "POST /v2/leads/create", 1, None, {**lead, "phone": "0501234568"})
    page = (ROOT / "docs" / "testing" / "sandbox.md").read_text("utf-8")
    assert f"\nAssertionError: {caught.value}\n" in page


# --- levers ---


def test_levers_that_were_used_are_all_right(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.answer_next("GET /v2/users", 503, times=2)
    thebase.delay_next("/v2/users", 0)
    for _ in range(2):
        client.get("/v2/users")
    thebase.assert_levers_used()


@pytest.mark.thebase_allow_unused
def test_an_unused_lever_is_reported_with_what_came_instead(thebase: Sandbox, client: httpx.Client) -> None:
    thebase.answer_next("GET /v2/user", 503, times=3)
    thebase.delay_next("GET *", 0, times=4)
    thebase.redirect_next("/oauth/token", "/")
    thebase.drop_next("GET /v2/usr")
    for path in ("/login", "/v2/user", "/v2/users"):
        client.get(path)
    with pytest.raises(AssertionError) as caught:
        thebase.assert_levers_used()
    lines = [line.partition("(delayed")[0].rstrip() for line in str(caught.value).splitlines()]
    assert lines == [
        "no request has used the delay of 0 s for GET * (1 x): 3 came",
        "no request has used the response 503 for GET /v2/user (2 x): 1 came",
        "no request has used the response 307 for /oauth/token (1 x): no /oauth/token came",
        "no request has used the drop for GET /v2/usr (1 x): GET /v2/user came, not GET /v2/usr",
        "all that was received:",
        "  GET /login 404",
        "  GET /v2/user 503",
        "  GET /v2/users 401",
    ]


def test_the_list_is_short_and_of_printable_text() -> None:
    body = b"\x1b[31m\r\n\xff" + "שלום".encode() + b"z" * 2000
    received = ReceivedRequest("POST", "/a\nb\x1b\u202e?c=%0a", {}, body, 201)
    with pytest.raises(AssertionError) as caught:
        assert_in((received,), "POST *", None, None, {"a": 1})
    [line] = str(caught.value).splitlines()[2:]
    assert line.startswith(r"  POST /a\nb\u001b\u202e?c=%0a 201 \u001b[31m\r\n" + "\ufffdשלוםzz")
    assert line.endswith("zz...")
    assert len(line) < 1100
