"""A body is sent again byte for byte, or not at all: never empty, truncated or half-read."""

from __future__ import annotations

import array
import copy
import io
import mmap
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from requests.utils import super_len

from tests.support.bodies import CONTENT, AsyncIteratorOf, a_generator, an_async_generator
from thebase_auth._body import (
    File,
    Files,
    Fixed,
    Once,
    body_to_send,
    sent_body,
    watched_file,
)

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
    ],
)
def test_a_body_in_memory_can_be_sent_again(content: Any) -> None:
    body = body_to_send(content)

    assert isinstance(body, Fixed)
    assert sent_body(content) is body
    assert not body.once_only
    assert body.can_repeat()
    assert body.can_repeat()


# Once


class OnlyAsyncReadable:
    async def aread(self) -> bytes:
        return CONTENT

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield CONTENT


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(a_generator, id="generator"),
        pytest.param(lambda: (chunk for chunk in [CONTENT]), id="generator expression"),
        pytest.param(an_async_generator, id="async generator"),
        pytest.param(lambda: AsyncIteratorOf(a_generator()), id="async iterator"),
        pytest.param(OnlyAsyncReadable, id="async stream"),
        pytest.param(lambda: iter([CONTENT]), id="list iterator"),
        pytest.param(lambda: map(bytes, [CONTENT]), id="map"),
        pytest.param(lambda: zip([CONTENT]), id="zip"),
        pytest.param(lambda: filter(None, [CONTENT]), id="filter"),
        pytest.param(lambda: reversed([CONTENT]), id="reversed"),
        pytest.param(object, id="unknown kind"),
        pytest.param(lambda: 17, id="number"),
    ],
)
def test_a_body_that_is_gone_when_it_was_sent_is_sent_once(make: Callable[[], Any]) -> None:
    content = make()
    body = body_to_send(content)

    assert isinstance(body, Once)
    assert sent_body(content) is body
    assert body.once_only
    assert not body.can_repeat()


def test_telling_the_kind_of_a_body_reads_nothing_of_it() -> None:
    contents: list[Any] = [
        a_generator(),
        iter([CONTENT]),
        map(bytes, [CONTENT]),
        io.BytesIO(CONTENT),
    ]
    for content in contents:
        body_to_send(content)

    assert [b"".join(content) for content in contents] == [CONTENT] * 4


# Files


def a_file(content: Any, *, start: int | None = None) -> File:
    body = watched_file(content, start=start)
    assert isinstance(body, File)
    return body


OPEN: dict[str, Callable[[Path], IO[bytes]]] = {
    "buffered": lambda path: path.open("rb"),
    "unbuffered": lambda path: path.open("rb", buffering=0),
    "to read and write": lambda path: path.open("r+b"),
    "BytesIO": lambda _: io.BytesIO(CONTENT),
}


@pytest.mark.parametrize("offset", [0, 1, 4, 10])
@pytest.mark.parametrize("how", OPEN)
def test_a_file_goes_back_to_where_it_began(how: str, offset: int, path: Path) -> None:
    with OPEN[how](path) as file:
        file.seek(offset)
        body = body_to_send(file)

        assert isinstance(body, File)
        assert not body.once_only
        assert body.read() == CONTENT[offset:]
        assert body.can_repeat()
        assert body.read() == CONTENT[offset:]
        assert body.can_repeat()
        assert file.tell() == offset


@pytest.mark.parametrize("how", OPEN)
def test_a_file_of_which_a_part_was_sent_is_sent_again_from_where_it_began(
    how: str, path: Path
) -> None:
    with OPEN[how](path) as file:
        file.read(2)
        body = a_file(file)
        assert body.read(3) == CONTENT[2:5]

        assert body.can_repeat()
        assert body.read() == CONTENT[2:]


def test_a_file_of_one_byte_goes_back() -> None:
    file = watched_file(io.BytesIO(b"a"))
    assert file.read() == b"a"  # type: ignore[union-attr]
    assert file.can_repeat()
    assert file.read() == b"a"  # type: ignore[union-attr]


def test_a_file_that_was_read_past_us_is_not_sent_again() -> None:
    user_s = io.BytesIO(b"abc")
    file = watched_file(user_s)
    user_s.read()
    assert not file.can_repeat()


@pytest.mark.parametrize(
    ("size", "chunks"),
    [
        (2, [b"ab", b"cd", b"e", b""]),
        (5, [b"abcde", b""]),
        (9, [b"abcde", b""]),
        (-1, [b"abcde", b""]),
        (None, [b"abcde", b""]),
    ],
)
def test_a_second_sending_reads_as_much_as_is_asked_for_and_no_more_than_was_sent(
    size: int | None, chunks: list[bytes]
) -> None:
    user_s = io.BytesIO(b"abcde")
    file: Any = watched_file(user_s)
    while file.read(2):
        pass
    user_s.write(b"grown")
    assert file.can_repeat()
    assert [file.read(size) for _ in chunks] == chunks


def test_a_second_sending_that_asks_for_nothing_gets_nothing() -> None:
    file: Any = watched_file(io.BytesIO(b"abc"))
    file.read()
    file.read()
    assert file.can_repeat()
    assert [file.read(0), file.read()] == [b"", b"abc"]


def test_a_file_read_byte_by_byte_ends_where_its_first_sending_ended() -> None:
    user_s = io.BytesIO(b"abc")
    file: Any = watched_file(user_s)
    while file.read(1):
        pass
    user_s.write(b"grown")
    assert file.can_repeat()
    assert file.read() == b"abc"


def test_a_watched_file_is_iterated_in_blocks() -> None:
    file: Any = watched_file(io.BytesIO(b"a" * 100_000))
    assert [len(chunk) for chunk in file] == [65_536, 34_464]


def test_a_watched_file_says_which_attribute_it_does_not_have() -> None:
    file: Any = watched_file(io.BytesIO())
    with pytest.raises(AttributeError, match="^_hidden$"):
        file._hidden  # noqa: B018


def test_a_file_that_was_not_sent_at_all_can_still_be_sent(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(4)
        body = a_file(file)

        assert body.can_repeat()
        assert body.read() == CONTENT[4:]


class ShortReads(io.BytesIO):
    """Gives less than is asked for, as a raw file may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 1000) if size and size > 0 else size)


@pytest.mark.parametrize("kind", [io.BytesIO, ShortReads])
def test_a_file_of_many_blocks_is_sent_again(kind: type[io.BytesIO]) -> None:
    content = os.urandom(300_000)
    body = a_file(kind(content))
    sent = b"".join(iter(lambda: body.read(70_000), b""))

    assert sent == content
    assert body.can_repeat()
    assert b"".join(iter(lambda: body.read(70_000), b"")) == content


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(b"", id="emptied"),
        pytest.param(CONTENT[:9], id="truncated"),
        pytest.param(b"X" + CONTENT[1:], id="another first byte"),
        pytest.param(CONTENT[:9] + b"X", id="another last byte"),
    ],
)
def test_a_file_that_has_changed_since_it_was_sent_is_not_sent_again(
    change: bytes, path: Path
) -> None:
    with path.open("rb", buffering=0) as file:
        body = a_file(file)
        assert body.read() == CONTENT
        path.write_bytes(change)

        assert not body.can_repeat()


def test_a_file_is_watched_from_where_its_sender_sought(path: Path) -> None:
    with path.open("rb") as file:
        body = a_file(file)
        body.read(3)
        body.seek(0)

        assert body.read() == CONTENT
        assert body.can_repeat()
        assert body.read() == CONTENT


def test_of_a_file_that_was_sent_twice_the_second_sending_counts(path: Path) -> None:
    with path.open("rb") as file:
        body = a_file(file)
        body.read()
        body.seek(0)
        body.read(3)

        assert body.can_repeat()
        assert body.read() == CONTENT


def test_a_file_that_was_sent_from_elsewhere_than_it_began_is_not_sent_again(path: Path) -> None:
    with path.open("rb") as file:
        body = a_file(file)
        body.seek(5)
        body.read()

        assert not body.can_repeat()


@pytest.mark.parametrize("how", OPEN)
def test_a_watched_file_answers_as_the_file_itself(how: str, path: Path) -> None:
    with OPEN[how](path) as file:
        body: Any = a_file(file)

        assert body.tell() == 0
        assert body.seekable() is True
        assert body.seek(2, os.SEEK_CUR) == 2
        assert body.closed is False
        assert getattr(body, "name", None) == getattr(file, "name", None)
        assert [*body] == [CONTENT[2:]]
        assert not hasattr(body, "nonsense")


class Sized(io.BytesIO):
    """Tells its length, as an mmap does."""

    def __len__(self) -> int:
        return len(self.getvalue())


def test_the_length_of_a_watched_file_can_be_found_as_requests_does(path: Path) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        for content in (file, Sized(CONTENT), io.BytesIO(CONTENT), mapped):
            assert super_len(a_file(content)) == len(CONTENT)  # type: ignore[no-untyped-call]


def test_a_watched_file_can_be_copied_as_its_file_can() -> None:
    body = a_file(io.BytesIO(CONTENT))

    assert copy.copy(body).read() == CONTENT


def test_a_text_file_goes_back_to_where_it_began_and_is_still_seen_to_be_text(
    tmp_path: Path,
) -> None:
    path = tmp_path / "text"
    path.write_text("שלום עולם\n" * 9000, encoding="utf-8")
    for file in (path.open(encoding="utf-8"), io.StringIO("שלום עולם\n" * 9000)):
        with file:
            file.read(7)
            body = a_file(file)
            rest = "".join(iter(lambda body=body: body.read(70_000), ""))  # type: ignore[misc]

            # urllib3 encodes what it reads from these.
            assert isinstance(body, io.TextIOBase)
            assert len(rest) == 9000 * 10 - 7
            assert body.can_repeat()
            assert body.read() == rest


def test_a_file_of_bytes_is_not_taken_for_text(path: Path) -> None:
    with path.open("rb") as file:
        assert not isinstance(a_file(file), io.TextIOBase)


def test_a_text_file_that_has_changed_since_it_was_sent_is_not_sent_again(path: Path) -> None:
    with path.open(encoding="utf-8") as file:
        body = a_file(file)
        body.read()
        path.write_bytes(CONTENT[:9])

        assert not body.can_repeat()


def test_a_text_file_that_is_being_iterated_is_sent_once(path: Path) -> None:
    # Its tell() is disabled by next().
    with path.open(encoding="utf-8") as file:
        next(file)
        assert isinstance(body_to_send(file), Once)


def test_a_closed_file_is_sent_once(path: Path) -> None:
    with path.open("rb") as file:
        pass

    assert isinstance(body_to_send(file), Once)


@pytest.mark.parametrize("how", OPEN)
def test_a_file_that_was_closed_after_the_sending_is_not_sent_again(how: str, path: Path) -> None:
    with OPEN[how](path) as file:
        body = a_file(file)
        body.read()

    assert not body.can_repeat()


def test_a_pipe_is_sent_once() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "wb"):
        assert isinstance(body_to_send(reader), Once)


class Stream:
    """A file of a user's own making, with a fault."""

    def __init__(self, *, tell: Any = 0, seekable: Any = True, seek: Any = None) -> None:
        self._tell, self._seekable, self._seek = tell, seekable, seek

    def read(self, _size: int = -1) -> bytes:
        return b""

    def tell(self) -> Any:
        return self._result(self._tell)

    def seekable(self) -> Any:
        return self._result(self._seekable)

    def seek(self, _position: int) -> Any:
        return self._result(self._seek)

    def _result(self, value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value


class IterableStream(Stream):
    def __iter__(self) -> Iterator[bytes]:
        return iter([CONTENT])


class StreamWithoutSeekable:
    def __init__(self) -> None:
        self._file = io.BytesIO(CONTENT)
        self.read, self.tell, self.seek = self._file.read, self._file.tell, self._file.seek


class StreamWithoutSeek:
    def read(self, _size: int = -1) -> bytes:
        return b""

    def tell(self) -> int:
        return 0


class StreamThatOnlyReads:
    def read(self, _size: int = -1) -> bytes:
        return b""


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(Stream(tell=OSError("illegal seek")), id="tell raises"),
        pytest.param(Stream(tell=ZeroDivisionError()), id="tell raises anything"),
        pytest.param(Stream(tell=None), id="tell knows nothing"),
        pytest.param(Stream(tell="0"), id="tell gives text"),
        pytest.param(Stream(seekable=False), id="not seekable"),
        pytest.param(Stream(seekable=ValueError("closed")), id="seekable raises"),
        pytest.param(StreamWithoutSeek(), id="no seek"),
        pytest.param(StreamThatOnlyReads(), id="no tell"),
        pytest.param(IterableStream(tell=None), id="iterable, but a stream"),
    ],
)
def test_a_stream_that_cannot_say_where_it_is_is_sent_once(content: Any) -> None:
    assert isinstance(body_to_send(content), Once)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(Stream(seek=OSError("illegal seek")), id="seek raises"),
        pytest.param(Stream(seek=ZeroDivisionError()), id="seek raises anything"),
    ],
)
def test_a_stream_that_cannot_go_back_is_not_sent_again(content: Any) -> None:
    assert not a_file(content).can_repeat()


def test_a_stream_whose_seek_lies_is_not_sent_again() -> None:
    content = Stream(tell=3, seek=3)
    body = a_file(content)
    content._tell = 10

    assert not body.can_repeat()


def test_a_stream_need_not_say_that_it_can_seek() -> None:
    body = body_to_send(StreamWithoutSeekable())
    assert isinstance(body, File)
    body.read()

    assert body.can_repeat()
    assert body.read() == CONTENT


def test_a_stream_that_gives_text_is_sent_again() -> None:
    class TextStream(Stream):
        def read(self, _size: int = -1) -> Any:
            return "שלום" if self._tell == 0 else ""

    body = a_file(TextStream())
    assert body.read() == "שלום"

    assert body.can_repeat()


def test_several_files_go_back_each_to_its_own_place(path: Path) -> None:
    with path.open("rb") as one, io.BytesIO(CONTENT) as other:
        one.seek(3)
        watched = [a_file(one), a_file(other, start=0)]
        for file in watched:
            file.read()

        assert not Files(watched).once_only
        assert Files(watched).can_repeat()
        assert (one.tell(), other.tell()) == (3, 0)


def test_a_file_goes_back_to_the_start_that_its_sender_reads_from(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(3)
        body = a_file(file, start=0)
        body.seek(0)
        body.read()

        assert body.can_repeat()
        assert body.read() == CONTENT


def test_one_file_that_did_not_go_back_is_enough_to_send_nothing_again() -> None:
    contents: list[Any] = [io.BytesIO(CONTENT), Stream(seek=OSError()), io.BytesIO(CONTENT)]

    assert not Files([a_file(content) for content in contents]).can_repeat()


def test_no_files_at_all_can_be_sent_again() -> None:
    assert Files([]).can_repeat()
