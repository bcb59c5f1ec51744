"""What is logged of a cache, word for word: once as a warning, then at DEBUG, until it works again."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from tests.support.token_answers import CREDENTIALS, DOMAIN
from thebase_auth import FileTokenCache, RedisTokenCache, Token
from thebase_auth._core.shared_token import SharedToken
from thebase_auth.caches._coordinator import Coordinator
from thebase_auth.caches._record import RecordFormat

SECRET = CREDENTIALS.client_secret.reveal()


class Shelf:
    def __repr__(self) -> str:
        return "Shelf()"


@pytest.fixture
def coordinator(caplog: pytest.LogCaptureFixture) -> Coordinator:
    caplog.set_level(logging.DEBUG, "thebase_auth")
    return Coordinator(Shelf(), CREDENTIALS, SharedToken(has_cache=True))  # type: ignore[arg-type]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{one.levelname} {one.getMessage()}" for one in caplog.records]


FAILED = (
    f"WARNING the token cache Shelf() failed (OSError: full). Requests to {DOMAIN} go on without it: this"
    " process fetches its own access tokens. This warning is not repeated until the cache works again."
)


def test_a_failure_is_a_warning_once_until_the_cache_works_again(
    coordinator: Coordinator, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator.note_working()  # as ever
    for _ in range(2):
        coordinator.warn("OSError: full")
    for _ in range(2):
        coordinator.note_working()
    coordinator.warn("OSError: full")

    assert logged(caplog) == [
        FAILED,
        "DEBUG the token cache Shelf() failed a caller: OSError: full",
        "INFO the token cache Shelf() works again",
        FAILED,
    ]


def test_a_cache_that_may_be_healthy_gives_no_warning(
    coordinator: Coordinator, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator.warn("it took more than 0.1 seconds", may_be_healthy=True)
    coordinator.warn("OSError: full")

    assert logged(caplog) == [
        "DEBUG the token cache Shelf() failed a caller: it took more than 0.1 seconds",
        FAILED,
    ]


def test_a_lock_that_is_held_for_long_is_a_warning_once(
    coordinator: Coordinator, caplog: pytest.LogCaptureFixture
) -> None:
    for seconds in (2.54, 3):
        coordinator.warn_of_lock(seconds)

    text = (
        " another process has held the lock of the token cache Shelf() for {} seconds or more. This process"
        " goes on without the lock. If that happens again, look for a process that hangs, or a token endpoint"
        f" of {DOMAIN} that answers too slowly. This warning is not repeated."
    )
    assert logged(caplog) == ["WARNING" + text.format("2.5"), "DEBUG" + text.format("3.0")]


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("failure", "described"),
    [
        (OSError("full"), "OSError: full"),
        (MuteError(), "MuteError: no text"),
        (ValueError("x" * 400), "ValueError: " + "x" * 300),
        (ValueError(f"secret {SECRET} and token a+c/123"), "ValueError: secret [hidden] and token [hidden]"),
        (OSError("for url: https://kv?v=a%2Bc%2F123"), "OSError: for url: https://kv?v=[hidden]"),
    ],
    ids=["plain", "mute", "long", "secrets", "in a URL"],
)
def test_an_exception_of_a_cache_is_described_without_secrets(
    coordinator: Coordinator, failure: Exception, described: str
) -> None:
    coordinator.shared.token = Token("a+c/123")
    assert coordinator.describe(failure) == described


@pytest.mark.parametrize("quoted", [str, quote, quote_plus])
def test_an_exception_that_quotes_a_record_is_cut_before_it(
    coordinator: Coordinator, quoted: Callable[[str], str]
) -> None:
    record = quoted(RecordFormat(CREDENTIALS).write(Token("of_another_process")))
    described = coordinator.describe(OSError(f"cannot write {record}"))
    assert described.startswith("OSError: cannot write ")
    assert "of_another_process" not in described


# What RedisTokenCache says


class Client:
    def lock(self) -> None: ...


class AsyncioClient(Client):
    async def execute_command(self) -> None: ...


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (None, "client must be one of redis-py or valkey-py, not NoneType"),
        (Client, "client must be one of redis-py or valkey-py, not Client"),
        (
            AsyncioClient(),
            (
                "client must not be an asyncio one: RedisTokenCache serves threads and any number of event"
                " loops at once, and blocks none of them; give it redis.Redis(...)"
            ),
        ),
    ],
    ids=["nothing", "a class", "asyncio"],
)
def test_of_a_wrong_client(client: object, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        RedisTokenCache(client)
    assert str(caught.value) == text


def test_of_a_live_client_that_is_to_be_pickled() -> None:
    with pytest.raises(TypeError) as caught:
        pickle.dumps(RedisTokenCache(Client()))
    assert str(caught.value) == (
        "a live client cannot be pickled or copied; use RedisTokenCache.from_url(url)"
    )


def test_of_a_url_that_cannot_be_parsed() -> None:
    with pytest.raises(ValueError, match="redis-py") as caught:
        RedisTokenCache.from_url("redis://user:pass/word@host")
    assert str(caught.value) == (
        "redis-py cannot parse the URL (not shown: a password may be in it); it looks like"
        " redis://user:password@host:port/db, with / in a password written as %2F"
    )


def test_of_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ImportError) as caught:
        RedisTokenCache.from_url("redis://host")
    assert str(caught.value) == "RedisTokenCache.from_url needs redis: pip install 'thebase-auth[redis]'"
    assert caught.value.name == "redis"


@pytest.mark.parametrize("missing", ["filelock", "platformdirs"])
def test_of_a_library_that_the_file_needs_and_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError) as caught:
        FileTokenCache()
    assert str(caught.value) == f"FileTokenCache needs {missing}: pip install 'thebase-auth[file]'"
    assert caught.value.name == missing


def test_of_a_library_of_a_library_that_the_file_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("of another", name="another")

    monkeypatch.setattr("platformdirs.user_cache_path", broken)
    with pytest.raises(ModuleNotFoundError, match="of another"):
        FileTokenCache()


def test_of_an_empty_path() -> None:
    with pytest.raises(ValueError, match="path is empty") as caught:
        FileTokenCache("")
    assert str(caught.value) == "path is empty; leave it out for a file in the user's cache directory"


def test_of_itself() -> None:
    cache = RedisTokenCache.from_url("redis://user:password@host:7000/3", prefix="p:")
    assert repr(cache) == "RedisTokenCache(<Redis host 7000 3>, prefix='p:')"
    assert repr(RedisTokenCache(Client())) == "RedisTokenCache(<Client>, prefix='thebase_auth:')"
