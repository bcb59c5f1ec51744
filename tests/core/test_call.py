"""A body is sent again as it was first sent, or not at all."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.renewals import USERS, a_renewal
from thebase_auth._core.call import (
    Call,
    announced_length,
    is_in_memory,
    is_seekable,
    position_of,
    rewind_file,
)
from thebase_auth._core.token import Token

CONTENT = b"0123456789"


@pytest.mark.parametrize(
    "content", [None, b"", "שלום", bytearray(b"a"), memoryview(b"a"), [b"a", b"b"], (b"a",), []]
)
def test_body_in_memory_can_be_replayed(content: object) -> None:
    assert is_in_memory(content)


@pytest.mark.parametrize(
    "content",
    [iter([CONTENT]), map(bytes, [CONTENT]), deque([CONTENT]), {CONTENT}, [CONTENT, "x"], io.BytesIO(), 17],
)
def test_iterator_set_or_file_is_not_in_memory(content: object) -> None:
    assert not is_in_memory(content)


@pytest.mark.parametrize(
    ("value", "length"),
    [("10", 10), (b"10", 10), ("0", 0), (10, 10), ("", None), ("-1", None), ("x", None), ("9" * 20, None)],
)
def test_announced_length_is_that_of_the_header(value: Any, length: int | None) -> None:
    assert announced_length({"Content-Length": value}) == length
    assert announced_length({}) is None


@pytest.mark.parametrize(
    ("can_rewind", "length", "renews"), [(True, 2**20, False), (True, 2**20 + 1, True), (False, 5, True)]
)
def test_expired_token_is_not_tried_with_a_large_or_one_shot_body(
    can_rewind: bool, length: int, renews: bool
) -> None:
    call: Any = SimpleNamespace(
        request=SimpleNamespace(headers={"Content-Length": f"{length}"}),
        renewal=SimpleNamespace(renews_expired=False),
        rewind=lambda: can_rewind,
    )
    assert Call._must_renew_first(call) == renews


@pytest.mark.parametrize("is_throttled", [False, True])
def test_rejected_token_of_a_one_shot_body_is_dropped_unless_throttled(is_throttled: bool) -> None:
    renewal = a_renewal(cache=object())
    renewal.token = Token("rejected")
    call: Any = SimpleNamespace(renewal=renewal, rewind=lambda: False)

    assert not Call._prepare_replay(call, USERS, renewal.token, is_throttled=is_throttled)
    assert (renewal.token is not None) == is_throttled


def test_401_of_a_throttled_call_is_not_touched_if_nobody_has_a_newer_token() -> None:
    renewal = a_renewal()
    renewal.token = Token("rejected")
    call: Any = SimpleNamespace(renewal=renewal, rewind=lambda: True)

    assert not Call._prepare_replay(call, USERS, renewal.token, is_throttled=True)


def fail(*_: object) -> Any:
    raise OSError("on purpose")


@pytest.mark.parametrize(
    "stream", [object(), SimpleNamespace(tell=fail), SimpleNamespace(tell=lambda: None), iter([CONTENT])]
)
def test_stream_that_cannot_tell_its_position_has_none(stream: object) -> None:
    assert position_of(stream) is None
    assert not is_seekable(stream)


def test_stream_that_cannot_seek_is_not_seekable() -> None:
    assert not is_seekable(SimpleNamespace(tell=lambda: 0, seek=fail))
    assert is_seekable(io.BytesIO(CONTENT))


@pytest.fixture(params=["memory", "disk"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    with io.BytesIO(CONTENT) if request.param == "memory" else path.open("r+b") as opened:
        yield opened


@pytest.mark.parametrize("start", [0, 4, 10])
def test_file_is_rewound_to_where_it_was_if_it_has_the_announced_length(file: Any, start: int) -> None:
    file.seek(start)
    assert position_of(file) == start
    sent = file.read()

    assert rewind_file(file, start, len(sent))
    assert file.read() == sent


@pytest.mark.parametrize("change", [lambda file: file.truncate(9), lambda file: file.write(b"x")])
def test_file_with_another_length_is_left_where_it_was(file: Any, change: Callable[[Any], Any]) -> None:
    file.read()
    change(file)
    position = file.tell()

    assert not rewind_file(file, 0, len(CONTENT))
    assert file.tell() == position


@pytest.mark.parametrize(("start", "length"), [(None, 10), (0, None)])
def test_file_of_unknown_position_or_length_is_not_replayed(file: Any, start: Any, length: Any) -> None:
    assert not rewind_file(file, start, length)
    assert file.tell() == 0


@pytest.mark.parametrize(
    "stream",
    [
        object(),
        SimpleNamespace(tell=lambda: 10, seek=fail),
        SimpleNamespace(tell=lambda: 10, seek=lambda *_: 0),  # it says that it has gone back, and has not
    ],
)
def test_stream_that_cannot_go_back_is_not_replayed(stream: object) -> None:
    assert not rewind_file(stream, 0, 10)
