"""A body is sent again as it was, or not at all: never empty, truncated, longer or half-read."""

from __future__ import annotations

import array
import io
import mmap
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from thebase_auth._core.bodies import IN_MEMORY, ONCE, File, Files, body_of, files_of

CONTENT = b"0123456789"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path


def sent(body: Any) -> bytes:
    assert isinstance(body, File)
    return b"".join(body)


# In memory


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="nothing"),
        pytest.param(b"", id="empty bytes"),
        pytest.param(b"abc", id="bytes"),
        pytest.param("שלום", id="text"),
        pytest.param(bytearray(b"abc"), id="bytearray"),
        pytest.param(memoryview(b"abc"), id="memoryview"),
        pytest.param(array.array("B", b"abc"), id="array"),
        pytest.param([b"a", b"bc"], id="list of bytes"),
        pytest.param((b"a", b"bc"), id="tuple of bytes"),
        pytest.param([], id="empty list"),
    ],
)
def test_a_body_in_memory_can_be_sent_again(content: Any) -> None:
    body = body_of(content, None)

    assert body is IN_MEMORY
    assert body.rewind()


# Once


def a_generator() -> Iterator[bytes]:
    yield CONTENT


async def an_async_generator() -> AsyncIterator[bytes]:
    yield CONTENT


class Untouchable:
    """Every use of it is a failure of the test."""

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError("iterated")

    def __len__(self) -> int:
        raise AssertionError("measured")


class Stream:
    """Can be read; what else it can is given by name."""

    def __init__(self, **methods: Callable[..., Any]) -> None:
        self.__dict__.update(methods)

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("read")


class Unseekable(io.BytesIO):
    """Says that it cannot seek, though it can."""

    def seekable(self) -> bool:
        return False


def fail(*_: object) -> Any:
    raise OSError("on purpose")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(a_generator, id="generator"),
        pytest.param(an_async_generator, id="async generator"),
        pytest.param(lambda: iter([CONTENT]), id="list iterator"),
        pytest.param(lambda: map(bytes, [CONTENT]), id="map"),
        pytest.param(Untouchable, id="iterable"),
        pytest.param(lambda: deque([CONTENT]), id="deque"),
        pytest.param(lambda: {CONTENT}, id="set"),
        pytest.param(lambda: [CONTENT, "text"], id="list of other things"),
        pytest.param(lambda: [iter([CONTENT])], id="list of iterators"),
        pytest.param(object, id="unknown kind"),
        pytest.param(lambda: 17, id="number"),
        pytest.param(Stream, id="neither tells nor seeks"),
        pytest.param(lambda: Stream(tell=lambda: 0), id="does not seek"),
        pytest.param(lambda: Stream(seek=int), id="does not tell"),
        pytest.param(lambda: Stream(seek=int, tell=lambda: None), id="tells nothing"),
        pytest.param(lambda: Stream(seek=int, tell=fail), id="fails to tell"),
        pytest.param(lambda: Unseekable(CONTENT), id="not seekable"),
        pytest.param(lambda: Stream(seek=int, tell=lambda: 0, seekable=fail), id="cannot say"),
        pytest.param(lambda: Stream(seek=fail, tell=lambda: 0), id="fails to seek"),
    ],
)
def test_a_body_that_may_be_gone_when_it_was_sent_is_sent_once(make: Callable[[], Any]) -> None:
    body = body_of(make(), None)

    assert body is ONCE
    assert not body.rewind()


def test_a_pipe_is_sent_once() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe, os.fdopen(write, "wb"):
        assert body_of(pipe, None) is ONCE


def test_a_closed_file_is_sent_once(path: Path) -> None:
    file = path.open("rb")
    file.close()
    assert body_of(file, None) is ONCE


# Files

OPEN: dict[str, Callable[[Path], IO[bytes]]] = {
    "buffered": lambda path: path.open("rb"),
    "unbuffered": lambda path: path.open("rb", buffering=0),
    "to read and write": lambda path: path.open("r+b"),
    "BytesIO": lambda _: io.BytesIO(CONTENT),
}


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("offset", [0, 1, 4, 10])
@pytest.mark.parametrize("how", OPEN)
def test_a_file_is_sent_again_from_where_it_stood(how: str, offset: int, announced: bool, path: Path) -> None:
    with OPEN[how](path) as file:
        file.seek(offset)
        body = body_of(file, len(CONTENT) - offset if announced else None)

        assert file.tell() == offset
        for _ in range(3):
            file.read()
            assert body.rewind()
            assert file.tell() == offset
            assert sent(body) == CONTENT[offset:]


def test_a_file_of_which_a_part_was_sent_is_sent_again_whole(path: Path) -> None:
    with path.open("rb") as file:
        body = body_of(file, len(CONTENT))
        file.read(3)

        assert body.rewind()
        assert sent(body) == CONTENT


def test_a_file_is_sent_again_as_often_as_it_is_iterated(path: Path) -> None:
    with path.open("rb") as file:
        body: Any = body_of(file, len(CONTENT))
        assert [sent(body), sent(body)] == [CONTENT, CONTENT]


@pytest.mark.parametrize("length", [1, 65_537, 200_000])
def test_a_file_is_read_in_blocks_to_its_last_byte(length: int) -> None:
    content = os.urandom(length)
    body: Any = body_of(io.BytesIO(content), len(content))
    assert b"".join(body) == content
    assert max(map(len, body)) == min(length, 65_536)


def test_no_more_is_sent_again_than_was_announced() -> None:
    file = io.BytesIO(CONTENT)
    body = body_of(file, 4)
    file.seek(0, io.SEEK_END)
    file.write(b"grown")

    assert body.rewind()
    assert sent(body) == CONTENT[:4]


def test_a_file_in_memory_that_is_shorter_now_is_not_sent_again() -> None:
    file = io.BytesIO(CONTENT)
    body = body_of(file, len(CONTENT))
    file.truncate(9)

    assert not body.rewind()


CHANGES: dict[str, Callable[[Path], object]] = {
    "grown": lambda path: path.write_bytes(CONTENT + b"more"),
    "cut short": lambda path: os.truncate(path, 4),
    "rewritten": lambda path: os.utime(path, ns=(0, 0)),
}


@pytest.mark.parametrize("multipart", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_a_real_file_that_was_changed_is_not_sent_again(change: str, multipart: bool, path: Path) -> None:
    with path.open("rb") as file:
        body = files_of([file]) if multipart else body_of(file, len(CONTENT))
        assert body.rewind()
        os.utime(path, ns=(1, 1))
        assert not body.rewind()
        os.utime(path)
        body = files_of([file]) if multipart else body_of(file, len(CONTENT))
        CHANGES[change](path)

        assert not body.rewind()


@pytest.mark.parametrize("multipart", [False, True])
def test_what_was_written_to_a_file_and_not_flushed_is_not_a_change(multipart: bool, path: Path) -> None:
    with path.open("w+b") as file:
        file.write(CONTENT)
        file.seek(0)
        file.write(b"9")  # stays in its buffer until it is read
        body = files_of([file]) if multipart else body_of(file, len(CONTENT) - 1)
        file.read()

        assert body.rewind()


@pytest.mark.parametrize("multipart", [False, True])
def test_a_file_that_was_closed_after_the_sending_is_not_sent_again(multipart: bool, path: Path) -> None:
    file = path.open("rb")
    body = files_of([file]) if multipart else body_of(file, len(CONTENT))
    file.close()

    assert not body.rewind()


def test_a_stream_whose_seek_lies_is_not_sent_again() -> None:
    class Lying(io.BytesIO):
        def seek(self, position: int, whence: int = 0) -> int:
            return position

    file = Lying(CONTENT)
    body = body_of(file, len(CONTENT))
    file.read(3)

    assert not body.rewind()


def test_a_stream_need_not_say_that_it_can_seek_nor_where_it_went(path: Path) -> None:
    class Plain:
        def __init__(self) -> None:
            self.inner = io.BytesIO(CONTENT)
            self.read, self.tell = self.inner.read, self.inner.tell

        def seek(self, *where: int) -> None:
            self.inner.seek(*where)

    file = Plain()
    body = body_of(file, None)
    file.read()

    assert body.rewind()
    assert sent(body) == CONTENT


def test_a_file_mapped_into_memory_is_sent_again(path: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        body = body_of(mapped, len(CONTENT))
        mapped.read()

        assert body.rewind()
        assert sent(body) == CONTENT


def test_text_is_sent_again_as_utf_8(tmp_path: Path) -> None:
    text = "שלום, world\n" * 10_000
    path = tmp_path / "text"
    path.write_text(text, "utf-8")
    with path.open(encoding="utf-8") as file:
        body = body_of(file, len(text.encode()))
        file.read()

        assert body.rewind()
        assert sent(body) == text.encode()


def test_a_text_file_that_is_being_iterated_is_sent_once(path: Path) -> None:
    with path.open() as file:
        next(file)
        assert body_of(file, None) is ONCE


# Multipart


def test_several_files_are_sent_again_if_each_is_what_it_was(path: Path) -> None:
    in_memory = io.BytesIO(CONTENT)
    with path.open("rb") as file:
        body = files_of([file, in_memory])
        assert isinstance(body, Files)
        file.read()
        in_memory.read(3)
        assert body.rewind()

        in_memory.write(b"beyond the end")
        assert not body.rewind()


def test_one_file_that_cannot_go_back_is_enough_to_send_nothing_again() -> None:
    assert files_of([io.BytesIO(), Stream()]) is ONCE
    assert files_of([Unseekable(CONTENT)]) is ONCE


def test_no_files_at_all_can_be_sent_again() -> None:
    assert files_of([]).rewind()


def test_a_stream_of_which_no_length_was_announced_is_not_sent_again_if_it_has_grown() -> None:
    file = io.BytesIO(CONTENT)
    body = body_of(file, None)
    file.seek(0, io.SEEK_END)
    file.write(b"grown")
    assert not body.rewind()


def test_a_file_that_was_filled_after_it_was_signed_is_not_sent_again() -> None:
    file = io.BytesIO()
    body = body_of(file, None)
    file.write(b"payload")
    file.seek(0)
    file.read()
    assert not body.rewind()


@pytest.mark.skipif(not os.path.exists("/proc/self/cmdline"), reason="there is no /proc")
def test_a_file_that_says_it_is_empty_and_is_not_is_not_sent_again() -> None:
    with open("/proc/self/cmdline", "rb") as file:
        body = body_of(file, None)
        assert file.read()
        assert not body.rewind()


def test_an_empty_file_is_sent_again() -> None:
    body = body_of(io.BytesIO(), None)
    assert body.rewind()
    assert isinstance(body, File)
    assert list(body) == []
