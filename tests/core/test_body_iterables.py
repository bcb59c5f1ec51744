"""An iterable body is read again if it gives the bytes that were sent, in sync and in async code."""

from __future__ import annotations

import gc
import io
import warnings
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bodies import (
    CONTENT,
    AsyncChunks,
    AsyncIteratorOf,
    Chunks,
    a_generator,
    an_async_generator,
    async_repeatable,
    repeatable,
    send,
    unhurried,
)
from thebase_auth._body import (
    FIXED,
    LONGEST_REREAD,
    ONCE,
    AsyncRepeatable,
    File,
    Repeatable,
    body_to_send,
    sent_body,
    watched_file,
)

# Iterables


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([b"abc", b"", b"def"], id="list"),
        pytest.param((b"abc", b"def"), id="tuple"),
        pytest.param(deque([b"abc", b"def"]), id="deque"),
        pytest.param({b"abc": 1, b"def": 2}, id="dict"),
        pytest.param(["abc", "def"], id="text"),
        pytest.param(["abc", b"def"], id="text and bytes"),
        pytest.param([bytearray(b"abc"), memoryview(b"def")], id="buffers"),
        pytest.param(Chunks([b"abc", b"def"]), id="class"),
    ],
)
def test_an_iterable_that_begins_anew_is_read_again(content: Any) -> None:
    body = repeatable(content)

    assert not body.once_only
    assert list(body) == [chunk for chunk in content]  # noqa: C416 - sent as they are
    assert body.can_repeat()
    assert body.reread() == b"abcdef"
    assert body.reread() == b"abcdef"


def test_text_is_read_again_as_utf_8() -> None:
    body = repeatable(["שלום", "💫"])
    list(body)

    assert body.reread() == "שלום💫".encode()


def test_an_iterable_is_not_read_before_it_is_sent() -> None:
    content = Chunks([b"abc"])
    body = repeatable(content)

    assert content.begun == 0
    assert next(iter(body)) == b"abc"
    assert content.begun == 1


def test_an_empty_iterable_is_sent_again_as_empty() -> None:
    body = repeatable([])

    assert list(body) == []
    assert body.can_repeat()
    assert body.reread() == b""


def test_a_body_that_was_not_sent_cannot_be_sent_again() -> None:
    assert not repeatable([b"abc"]).can_repeat()


def test_a_body_of_which_a_part_was_sent_cannot_be_sent_again() -> None:
    body = repeatable([b"abc", b"def"])
    sending = iter(body)
    assert next(sending) == b"abc"

    assert not body.can_repeat()

    assert next(sending) == b"def"
    assert not body.can_repeat()


def test_a_second_sending_that_ends_early_counts() -> None:
    body = repeatable([b"abc", b"def"])
    assert list(body) == [b"abc", b"def"]
    next(iter(body))

    assert not body.can_repeat()


def test_a_body_that_raised_while_it_was_sent_cannot_be_sent_again() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"abc"
        raise ZeroDivisionError

    body = repeatable(Chunks(chunks()))
    with pytest.raises(ZeroDivisionError):
        list(body)

    assert not body.can_repeat()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param([b"abc", b"def"], [], id="empty"),
        pytest.param([b"abc", b"def"], [b"abc"], id="truncated"),
        pytest.param([b"abc", b"def"], [b"def"], id="from the middle"),
        pytest.param([b"abc", b"def"], [b"abc", b"deg"], id="other bytes"),
        pytest.param([b"abc", b"def"], [b"abc", b"def", b"\n"], id="longer"),
        pytest.param([b"abc", b"def"], [b"def", b"abc"], id="other order"),
        pytest.param([], [b"abc"], id="empty at first"),
    ],
)
def test_an_iterable_that_gives_other_bytes_is_not_sent_again(
    first: list[bytes], second: list[bytes]
) -> None:
    body = repeatable(Chunks(first, second))
    list(body)

    assert body.reread() is None


def test_other_chunks_of_the_same_bytes_are_the_same_body() -> None:
    body = repeatable(Chunks([b"abc", b"def"], [b"a", b"bcdef"]))
    list(body)

    assert body.reread() == b"abcdef"


class AroundAnIterator:
    """Looks fresh, and is not: it hands out the same iterator each time."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._iterator = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self._iterator


def test_a_wrapper_around_an_exhausted_iterator_is_not_sent_again() -> None:
    body = repeatable(AroundAnIterator([b"abc", b"def"]))

    assert list(body) == [b"abc", b"def"]
    assert body.can_repeat()
    assert body.reread() is None


class Consumed:
    """Raises when it is read a second time, as the libraries' own streams do."""

    def __init__(self, at: int) -> None:
        self._at, self._begun = at, 0

    def __iter__(self) -> Iterator[bytes]:
        self._begun += 1
        for position, chunk in enumerate([b"abc", b"def"]):
            if self._begun > 1 and position == self._at:
                raise RuntimeError("the stream has been consumed")
            yield chunk


class AsyncConsumed:
    """The same for async."""

    def __init__(self, at: int) -> None:
        self._content = Consumed(at)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return AsyncIteratorOf(iter(self._content))


@pytest.mark.parametrize("at", [0, 1], ids=["at once", "in the middle"])
def test_an_iterable_that_raises_the_second_time_is_not_sent_again(at: int) -> None:
    body = repeatable(Consumed(at))
    list(body)

    assert body.reread() is None


MIB = bytes(2**20)
MIBS = LONGEST_REREAD // len(MIB)


def test_the_longest_body_that_is_held_in_memory_is_sent_again() -> None:
    body = repeatable([MIB] * MIBS)
    deque(body, maxlen=0)

    again = body.reread()

    assert again is not None
    assert len(again) == LONGEST_REREAD


def test_a_longer_body_is_not_sent_again_and_not_read_to_its_end() -> None:
    def chunks(count: int) -> Iterator[bytes]:
        for _ in range(count):
            read.append(len(MIB))
            yield MIB

    read: list[int] = []
    body = repeatable(Chunks(chunks(MIBS + 1), chunks(100 * MIBS)))
    deque(body, maxlen=0)
    read.clear()

    assert body.reread() is None
    assert sum(read) == LONGEST_REREAD + len(MIB)


@pytest.mark.parametrize(
    "content",
    [[b"abc"], AsyncChunks([b"abc"]), io.BytesIO(b"abc")],
    ids=["iterable", "async iterable", "file"],
)
def test_a_watched_body_is_known_when_it_was_sent_and_not_watched_twice(content: Any) -> None:
    body = body_to_send(content)

    assert isinstance(body, (Repeatable, AsyncRepeatable, File))
    assert sent_body(body) is body
    assert body_to_send(body) is body
    assert watched_file(body) is body if isinstance(body, File) else True


@pytest.mark.parametrize(
    "content",
    [[b"abc"], AsyncChunks([b"abc"]), io.BytesIO(b"abc"), a_generator()],
    ids=["iterable", "async iterable", "file", "generator"],
)
def test_a_body_that_was_sent_unwatched_cannot_be_sent_again(content: Any) -> None:
    assert sent_body(content) is ONCE


@unhurried
@given(st.lists(st.binary(max_size=5) | st.text(max_size=5)), st.integers(0, 6), st.data())
def test_what_is_sent_again_is_what_was_sent_or_nothing(
    first: list[bytes | str], sent: int, data: st.DataObject
) -> None:
    second = data.draw(st.just(first) | st.permutations(first) | st.just(first[:sent]))
    body = repeatable(Chunks(first, second))
    was_sent = [chunk for chunk, _ in zip(body, range(sent), strict=False)]

    if body.can_repeat():
        assert was_sent == first
        again = body.reread()
        assert again in (None, joined(first))
        assert (again is not None) == (joined(second) == joined(first))
    else:
        assert len(first) >= sent


def joined(chunks: Iterable[bytes | str]) -> bytes:
    return b"".join(chunk.encode() if isinstance(chunk, str) else chunk for chunk in chunks)


# Async iterables, in asyncio and in trio


@pytest.mark.anyio
async def test_an_async_iterable_that_begins_anew_is_read_again() -> None:
    content = AsyncChunks([b"abc", "שלום", bytearray(b"def")])
    body = async_repeatable(content)

    assert not body.once_only
    assert content.chunks.begun == 0
    assert not body.can_repeat()
    assert await send(body) == [b"abc", "שלום", bytearray(b"def")]
    assert body.can_repeat()
    assert await body.reread() == "abcשלוםdef".encode()
    assert await body.reread() == "abcשלוםdef".encode()


@pytest.mark.anyio
async def test_an_async_body_of_which_a_part_was_sent_cannot_be_sent_again() -> None:
    body = async_repeatable(AsyncChunks([b"abc", b"def"]))
    sending = aiter(body)

    assert await anext(sending) == b"abc"
    assert not body.can_repeat()
    assert await anext(sending) == b"def"
    assert not body.can_repeat()
    await sending.aclose()  # type: ignore[attr-defined]
    assert not body.can_repeat()


@pytest.mark.anyio
async def test_a_second_async_sending_that_ends_early_counts() -> None:
    body = async_repeatable(AsyncChunks([b"abc", b"def"]))
    await send(body)
    sending = aiter(body)
    await anext(sending)

    assert not body.can_repeat()
    await sending.aclose()  # type: ignore[attr-defined]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "second", [[], [b"abc"], [b"def"], [b"abc", b"deg"], [b"abc", b"def", b"\n"]], ids=repr
)
async def test_an_async_iterable_that_gives_other_bytes_is_not_sent_again(
    second: list[bytes],
) -> None:
    body = async_repeatable(AsyncChunks([b"abc", b"def"], second))
    await send(body)

    assert await body.reread() is None


@pytest.mark.anyio
@pytest.mark.parametrize("at", [0, 1], ids=["at once", "in the middle"])
async def test_an_async_iterable_that_raises_the_second_time_is_not_sent_again(at: int) -> None:
    body = async_repeatable(AsyncConsumed(at))
    await send(body)

    assert await body.reread() is None


@pytest.mark.anyio
async def test_a_wrapper_around_an_exhausted_async_iterator_is_not_sent_again() -> None:
    class AroundAnAsyncIterator:
        chunks = an_async_generator()

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self.chunks

    body = async_repeatable(AroundAnAsyncIterator())

    assert await send(body) == [CONTENT]
    assert body.can_repeat()
    assert await body.reread() is None


@pytest.mark.anyio
async def test_an_async_body_that_is_longer_than_the_limit_is_not_sent_again() -> None:
    chunks = [MIB] * MIBS
    body = async_repeatable(AsyncChunks(chunks, chunks, [*chunks, b"x"]))
    async for _ in body:
        pass

    again = await body.reread()
    assert again is not None
    assert len(again) == LONGEST_REREAD
    assert await body.reread() is None


@pytest.mark.anyio
@pytest.mark.parametrize("module", [anyio, trio], ids=["anyio", "trio"])
async def test_an_async_file_is_not_sent_again_empty_and_warns_of_nothing(
    module: Any, path: Path, anyio_backend: str
) -> None:
    if module is trio and anyio_backend != "trio":
        pytest.skip("trio's files need trio")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with await module.open_file(path, "rb") as file:
            body = body_to_send(file)
            if isinstance(body, AsyncRepeatable):
                assert b"".join(await send(body)) == CONTENT
                assert await body.reread() is None
            else:
                assert not body.can_repeat()
        gc.collect()

    assert [str(warning.message) for warning in caught] == []


def test_the_two_bodies_without_a_state_are_one_object_each() -> None:
    assert body_to_send(b"abc") is FIXED
    assert body_to_send(a_generator()) is ONCE
