"""What a failed assertion on received requests says, and which levers were not used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import httpx
import pytest

from tests.support.pages import text_of
from thebase_auth.testing import ReceivedRequest, Sandbox
from thebase_auth.testing._assertions import assert_in
from thebase_auth.testing._messages import NOT_GIVEN

CREATE = "/v2/leads/create"


def request(body: bytes, path: str = CREATE, status: int = 201) -> ReceivedRequest:
    return ReceivedRequest("POST", path, {}, body, status)


def post(document: Any, path: str = CREATE) -> ReceivedRequest:
    return request(json.dumps(document).encode(), path)


def failure(*received: ReceivedRequest, call: str = f"POST {CREATE}", **expected: Any) -> list[str]:
    """The lines of the message."""
    expected = {"times": None, "status": None, "document": NOT_GIVEN, **expected}
    with pytest.raises(AssertionError) as caught:
        assert_in(received, call, **expected)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("actual", "expected", "differs"),
    [
        ({"a": "שלום"}, {"a": None}, 'a is "שלום", not null'),
        ({"a": 1}, {"a": 1, "b": 2}, "b is missing"),
        ({"a": 1, "b": 2}, {"a": 1}, "b is unexpected"),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, "a.b[1].c is 2, not 3"),
        ({"a": [1]}, {"a": [1, 2]}, "a is [1], not [1, 2]"),
        ({"a": 1, "b": 1}, {"a": ANY, "b": 2}, "b is 1, not 2"),
        (1, {"a": 1}, 'the body is 1, not {"a": 1}'),
        ({"a": "x" * 80}, {"a": 1}, f'a is "{"x" * 59}..., not 1'),
        ([1, 1, 1, 1], [2, 2, 2, 2], "[0] is 1, not 2, [1] is 1, not 2, [2] is 1, not 2, ..."),
    ],
)
def test_difference_in_a_body_is_named_by_its_place(actual: Any, expected: Any, differs: str) -> None:
    assert failure(post(actual), document=expected)[0] == f"POST {CREATE} 201 differs: {differs}"


@pytest.mark.parametrize("body", [b"a=1", b"[" * 100_000 + b"]" * 100_000], ids=["a form", "too deep"])
def test_body_that_cannot_be_read_is_not_that_json(body: bytes) -> None:
    lines = failure(request(body, status=415), status=201, document=None)
    assert lines[0] == f"POST {CREATE} 415 differs: the status is 415, not 201, the body is not that JSON"


def test_body_of_a_token_request_is_not_told() -> None:
    received = post({"client_secret": "canary"}, "/oauth/token")
    lines = failure(received, call="/oauth/token", document={"a": 1})
    assert lines[0] == "POST /oauth/token 201 differs: the body is another"
    assert "canary" not in str(lines)


def test_the_last_of_the_nearest_requests_is_named() -> None:
    bodies = ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 2}, {"a": 1, "b": 1})
    received = [post(body, f"{CREATE}?{number}") for number, body in enumerate(bodies)]
    lines = failure(*received, document={"a": 2, "b": 3})
    assert lines[0] == f"POST {CREATE}?2 201 differs: b is 2, not 3"


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
    assert failure(post({}), post({}, "/v2/users?limit=1"), call=call)[0] == line


def test_too_few_requests_are_counted() -> None:
    lines = failure(post(1), post(1), times=3, status=201)
    call = f"POST {CREATE} with the response 201"
    assert lines[0] == f"received 2 x {call}, expected 3; all that was received:"


def test_frames_of_the_kit_are_not_shown() -> None:
    with pytest.raises(AssertionError) as caught:
        Sandbox().assert_received("GET /v2/users")
    assert [Path(frame.path).name for frame in caught.traceback.filter(caught)] == [Path(__file__).name]


def test_message_is_that_of_the_page() -> None:
    lead = {"name": "Dana Levi", "f_name": "Dana", "phone": "0501234567"}
    received = (request(b"", "/oauth/token", 200), post(lead))
    text = "\n".join(failure(*received, times=1, document={**lead, "phone": "0501234568"}))
    assert f"\nAssertionError: {text}\n" in text_of("docs/testing/sandbox.md")


def test_listed_bodies_are_short_and_printable() -> None:
    body = b"\x1b[31m\r\n\xff" + "שלום".encode() + b"z" * 2000
    line = failure(request(body, "/a\nb\x1b\u202e?c=%0a"), call="POST *", document={"a": 1})[2]
    assert line.startswith(r"  POST /a\nb\u001b\u202e?c=%0a 201 \u001b[31m\r\n" + "\ufffdשלוםzz")
    assert line.endswith("zz...")
    assert len(line) < 1100


@pytest.mark.thebase_allow_unused
def test_unused_levers_are_named_with_what_came_instead(thebase: Sandbox, client: httpx.Client) -> None:
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
