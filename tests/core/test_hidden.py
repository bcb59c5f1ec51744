"""A hidden text is kept, and not shown."""

from __future__ import annotations

import copy
import pickle
import pprint
import traceback
from collections.abc import Callable

import pytest

from thebase_auth._core.hidden import Hidden, hidden, redacted

CANARY = "canary-4f1c"


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(repr, id="repr"),
        pytest.param(str, id="str"),
        pytest.param(ascii, id="ascii"),
        pytest.param(lambda value: f"{value}{value!r}", id="format"),
        pytest.param(lambda value: "%s %r" % (value, value), id="percent"),
        pytest.param(lambda value: str({"secret": value}), id="in a dict"),
        pytest.param(pprint.pformat, id="pprint"),
    ],
)
def test_a_hidden_text_is_not_shown(show: Callable[[object], str]) -> None:
    shown = show(Hidden(CANARY))

    assert "canary" not in shown
    assert "[hidden]" in shown


def test_a_hidden_text_is_none_that_could_be_cut_before_it_is_shown() -> None:
    assert not isinstance(Hidden(CANARY), str)


def test_a_traceback_with_local_variables_does_not_show_a_hidden_text() -> None:
    def fail(secret: Hidden) -> None:
        raise RuntimeError(id(secret))

    with pytest.raises(RuntimeError) as caught:
        fail(Hidden(CANARY))

    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(report.format())
    assert "secret = '[hidden]'" in text
    assert CANARY not in text.replace('CANARY = "canary-4f1c"', "")


def test_only_text_is_hidden() -> None:
    assert hidden(CANARY).reveal() == CANARY
    assert hidden(None) is None
    kept = Hidden(CANARY)
    assert hidden(kept) is kept


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy]
    + [
        lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ],
)
def test_a_copy_is_as_good_and_hides_as_much(again: Callable[[Hidden], Hidden]) -> None:
    copied = again(Hidden(CANARY))
    assert copied.reveal() == CANARY
    assert "canary" not in repr(copied)


# A secret in the text of others


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        pytest.param("kZ3..", "kZ3..", id="as it is"),
        pytest.param("kZ3..", "kZ3%2E%2e", id="escaped in a URL without need"),
        pytest.param("TH+/==", "TH%2B%2f%3D%3d", id="base64 escaped in a URL"),
        pytest.param("TH/==", r"TH\/==", id="a slash escaped in JSON"),
        pytest.param('a"b', r"a\"b", id="a quotation mark escaped in JSON"),
        pytest.param('a"b', r"a\\\"b", id="twice"),
        pytest.param("a\\b", r"a\\b", id="a back slash escaped in JSON"),
        pytest.param("a.b|c*", "a.b|c*", id="what means something in a pattern"),
        pytest.param("סוד", "%D7%a1%d7%95%D7%93", id="Hebrew escaped in a URL"),
        pytest.param("my secret", "my+secret", id="a blank in a form"),
        pytest.param("my secret", "my%20secret", id="a blank in a URL"),
        pytest.param("my secret", "my\nsecret", id="a blank where a line was broken"),
    ],
)
def test_a_secret_is_taken_out_of_a_text_however_it_is_escaped(secret: str, text: str) -> None:
    assert redacted(f"one {text}, {text}!", secret) == "one [hidden], [hidden]!"


@pytest.mark.parametrize("text", ["kZ3", "kz3..", "kZ3--", "KZ3..", "kZ3.%2f", ""])
def test_what_is_not_the_secret_stays(text: str) -> None:
    assert redacted(text, "kZ3..") == text


def test_a_text_that_is_made_to_be_slow_is_not() -> None:
    text = "\\" * 500_000 + "%" * 500_000

    assert redacted(text, 'a\\\\"b') == text  # in quadratic time it would take hours
