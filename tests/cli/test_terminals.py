"""What is seen at a terminal, as wide as it may be: lines end between words; colours and signs, or none."""

from __future__ import annotations

import io
import json
import os
from collections import Counter

import pytest

from tests.support.command_line import Run, command
from tests.support.terminals import at_a_terminal, shown
from thebase_auth._cli._screen import show
from thebase_auth.testing import Sandbox

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals")

ESCAPE = "\x1b"
TEXT = "אחת שתיים שלוש ארבע חמש שש שבע שמונה תשע עשר, and so on, until a line of 60 columns is full"


def assert_whole_words(lines: list[str], columns: int, *texts: str) -> None:
    """All words of the *texts* are there and whole, and only a word that is longer than a line leaves it."""
    for line in lines:
        assert len(line) <= columns or len(line.split()) == 1, line
    words = Counter(word for line in lines for word in line.split())
    assert words == Counter(word for text in texts for word in text.split())


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize("name", ["", "check ", "token ", "request ", "demo ", "sandbox "])
def test_help_ends_its_lines_between_words(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    arguments = f"{name}--help".split()
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, _ = run(*arguments)
    monkeypatch.setattr("thebase_auth._cli._WIDEST", 1000)
    monkeypatch.setenv("COLUMNS", "1000")
    assert code == 0
    assert_whole_words(out.splitlines(), min(columns, 80), run(*arguments)[1])


def test_help_is_as_wide_as_the_terminal() -> None:
    code, written = at_a_terminal("request", "--help", columns=50)
    assert (code, ESCAPE in written) == (0, False)
    assert 45 < max(map(len, shown(written))) <= 50


@pytest.mark.parametrize(("columns", "status"), [(40, 200), (60, 401)])
def test_check_ends_its_lines_between_words(thebase: Sandbox, columns: int, status: int) -> None:
    thebase.expires_in = 10**9  # the seconds are the same in both runs
    if status == 401:
        thebase.answer_next("/oauth/token", 401, '{"error": "invalid_client"}', times=4)
    code, written = at_a_terminal("check", columns=columns)
    done = command("check")
    assert code == done.returncode
    assert_whole_words(shown(written), columns, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("columns", "env"), [(40, {}), (60, {}), (200, {}), (60, {"NO_COLOR": "1"}), (60, {"TERM": "dumb"})]
)
def test_request_ends_its_lines_between_words(thebase: Sandbox, columns: int, env: dict[str, str]) -> None:
    answer = {"items": [{"id": "253960413951", "text": TEXT, "more": {"deep": [TEXT, 1, None, ""]}}]}
    thebase.answer_next("GET *", 200, json.dumps(answer))
    code, written = at_a_terminal("request", "GET", "/v2/users", columns=columns, **env)
    assert code == 0
    assert (ESCAPE in written) == (env == {})
    expected = json.dumps(answer, ensure_ascii=False, indent=2)
    assert_whole_words(shown(written), columns, "GET /v2/users: 200 OK", expected)


def test_json_goes_on_below_its_beginning(thebase: Sandbox) -> None:
    thebase.answer_next("GET *", 200, json.dumps({"a": {"text": "one two three four"}}))
    _, written = at_a_terminal("request", "GET", "/v2/users", columns=24)
    assert shown(written)[-7:] == ["{", '  "a": {', '    "text": "one two', '    three four"', "  }", "}", ""]


def test_an_error_ends_its_lines_between_words(thebase: Sandbox) -> None:
    code, written = at_a_terminal("check", "--secret-file", "/no/such/file", columns=40)
    assert code == 2
    told = "thebase-auth check: the secret file /no/such/file cannot be read: No such file or directory"
    assert_whole_words(shown(written), 40, told)


def test_a_terminal_that_does_not_tell_its_width_is_taken_for_a_usual_one() -> None:
    class Unknown(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Unknown()
    show("word " * 30, out)
    assert max(map(len, out.getvalue().splitlines())) == 79


def test_hebrew_is_whole_in_a_plain_locale(thebase: Sandbox) -> None:
    _, written = at_a_terminal("request", "GET", "/v2/users", columns=60, LC_ALL="C")
    assert "משה" in written
