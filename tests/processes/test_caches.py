"""FileTokenCache on real files and between real processes; RedisTokenCache on real servers."""

from __future__ import annotations

import gc
import inspect
import json
import math
import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.databases import CLIENT_KINDS, Database
from tests.support.pythons import run, without
from thebase_auth import caches
from thebase_auth.caches import FileTokenCache, RedisTokenCache, TokenCache

KEY = "a1" * 32
OTHER = "b2" * 32
LEASE = 10.0

posix = pytest.mark.skipif(os.name != "posix", reason="file modes and owners are POSIX's")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
fork_with_threads = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


# What every cache does


@pytest.fixture(params=CLIENT_KINDS)
def shared_client(request: pytest.FixtureRequest, database: Database) -> Any:
    """A client of each library, on each server."""
    return database.client(request.param)


@pytest.fixture
def redis_cache(shared_client: Any) -> RedisTokenCache:
    return RedisTokenCache(shared_client)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


@pytest.fixture
def file_cache(path: Path) -> FileTokenCache:
    return FileTokenCache(path)


def protocol_methods() -> list[str]:
    return [name for name, member in vars(TokenCache).items() if inspect.isfunction(member)
            and not name.startswith("_")]  # fmt: skip


@pytest.mark.parametrize("kind", [FileTokenCache, RedisTokenCache])
def test_a_cache_has_the_methods_of_the_protocol(kind: type) -> None:
    assert protocol_methods() == ["load", "store", "lock"]
    for name in protocol_methods():
        assert inspect.signature(getattr(kind, name)) == inspect.signature(
            getattr(TokenCache, name)
        )


class Facts:
    """What holds for each cache. Its subclasses are collected, each with a cache of its own."""

    def test_what_was_never_stored_is_absent(self, cache: TokenCache) -> None:
        assert cache.load(KEY) is None

    def test_what_was_stored_last_is_loaded(self, cache: TokenCache) -> None:
        cache.store(KEY, "first", 60.0)
        cache.store(KEY, "second", None)
        assert cache.load(KEY) == "second"
        assert type(cache.load(KEY)) is str

    def test_each_key_has_a_record_of_its_own(self, cache: TokenCache) -> None:
        cache.store(KEY, "one", 60.0)
        cache.store(OTHER, "another", 60.0)
        assert (cache.load(KEY), cache.load(OTHER)) == ("one", "another")

    @pytest.mark.parametrize("lifetime", [0.0, -5.0, 1e-9, 1e300, math.inf, 10**30])
    def test_any_lifetime_can_be_stored(self, cache: TokenCache, lifetime: float) -> None:
        cache.store(KEY, "record", lifetime)
        cache.store(OTHER, "record", 60.0)
        assert cache.load(OTHER) == "record"

    def test_the_lock_is_one_callers_until_it_is_given_back(self, cache: TokenCache) -> None:
        release = cache.lock(KEY, LEASE)
        assert release is not None
        assert cache.lock(KEY, LEASE) is None
        release()
        again = cache.lock(KEY, LEASE)
        assert again is not None
        again()

    def test_the_lock_of_one_key_is_not_that_of_another(self, cache: TokenCache) -> None:
        releases = [cache.lock(KEY, LEASE), cache.lock(OTHER, LEASE)]
        assert None not in releases
        for release in releases:
            release()  # type: ignore[misc]

    def test_a_record_can_be_loaded_and_stored_under_the_lock(self, cache: TokenCache) -> None:
        release = cache.lock(KEY, LEASE)
        cache.store(KEY, "record", 60.0)
        assert cache.load(KEY) == "record"
        release()  # type: ignore[misc]
        assert cache.load(KEY) == "record"

    def test_the_lock_is_given_back_in_another_thread(self, cache: TokenCache) -> None:
        taken = in_thread(lambda: cache.lock(KEY, LEASE))
        assert taken is not None
        assert cache.lock(KEY, LEASE) is None
        in_thread(taken)
        again = in_thread(lambda: cache.lock(KEY, LEASE))
        assert again is not None
        again()

    def test_a_lock_given_back_twice_does_no_harm(self, cache: TokenCache) -> None:
        first = cache.lock(KEY, LEASE)
        first()  # type: ignore[misc]
        second = cache.lock(KEY, LEASE)
        first()  # type: ignore[misc]
        assert cache.lock(KEY, LEASE) is None  # it is still the second one's
        second()  # type: ignore[misc]

    def test_of_many_threads_that_ask_at_once_one_gets_the_lock(self, cache: TokenCache) -> None:
        releases = at_once(20, lambda _: cache.lock(KEY, LEASE))
        got = [release for release in releases if release is not None]
        assert len(got) == 1
        got[0]()

    def test_many_threads_store_and_load_at_once(self, cache: TokenCache) -> None:
        keys = [f"{number:064x}" for number in range(12)]

        def store_and_load(number: int) -> Any:
            cache.store(keys[number], f"record {number}", 60.0)
            return cache.load(keys[number])

        assert at_once(12, store_and_load) == [f"record {number}" for number in range(12)]
        assert [cache.load(key) for key in keys] == [f"record {number}" for number in range(12)]


class TestAFile(Facts):
    @pytest.fixture
    def cache(self, file_cache: FileTokenCache) -> TokenCache:
        return file_cache


class TestADatabase(Facts):
    @pytest.fixture
    def cache(self, redis_cache: RedisTokenCache) -> TokenCache:
        return redis_cache


def in_thread(call: Callable[[], Any]) -> Any:
    return at_once(1, lambda _: call())[0]


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """What *call* gives in each of so many threads, which begin together."""
    begin = threading.Barrier(count)
    results: list[Any] = [None] * count

    def work(number: int) -> None:
        begin.wait(30)
        try:
            results[number] = call(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


# A file between processes


class Process:
    """A Python of its own. It has ``cache`` for *path*, and talks in lines."""

    def __init__(self, path: Path, code: str) -> None:
        beginning = (
            "import sys, threading\n"
            "from thebase_auth.caches import FileTokenCache\n"
            f"cache = FileTokenCache({str(path)!r})\n"
            "def tell(word): print(word, flush=True)\n"
            "def wait(): return sys.stdin.readline()\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", beginning + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def nudge(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def processes(path: Path, *codes: str) -> Iterator[list[Process]]:
    """A process for each of *codes*. All have ended well, or were killed, when the block ends."""
    started = [Process(path, code) for code in codes]
    try:
        yield started
        for one in started:
            assert one.process.wait(30) in {0, -9}
    finally:
        for one in started:
            one.process.kill()
            one.process.communicate()


HOLD = f"""
release = cache.lock({KEY!r}, 10.0)
tell("held" if release else "not held")
wait()
release()
tell("released")
wait()
"""


def test_a_lock_that_another_process_holds_is_none_until_it_is_released(
    file_cache: FileTokenCache, path: Path
) -> None:
    with processes(path, HOLD) as [other]:
        assert other.hear() == "held"
        assert file_cache.lock(KEY, LEASE) is None
        other.nudge()
        assert other.hear() == "released"
        release = file_cache.lock(KEY, LEASE)
        assert release is not None
        release()
        other.nudge()


def test_the_lock_of_a_process_that_was_killed_is_free_at_once(
    file_cache: FileTokenCache, path: Path
) -> None:
    with processes(path, HOLD) as [other]:
        assert other.hear() == "held"
        other.process.kill()
        other.process.wait(10)
        release = file_cache.lock(KEY, LEASE)
        assert release is not None
        release()


STOPS_BEFORE_REPLACING = f"""
import pathlib
def replace(self, target):
    tell("about to replace")
    wait()
pathlib.Path.replace = replace
cache.store({KEY!r}, "after", 60.0)
"""


def test_a_process_that_was_killed_while_it_stored_leaves_the_file_as_it_was(
    file_cache: FileTokenCache, path: Path
) -> None:
    file_cache.store(KEY, "before", 60.0)
    with processes(path, STOPS_BEFORE_REPLACING) as [other]:
        assert other.hear() == "about to replace"
        other.process.kill()
        other.process.wait(10)
    assert file_cache.load(KEY) == "before"
    file_cache.store(OTHER, "another", 60.0)
    assert (file_cache.load(KEY), file_cache.load(OTHER)) == ("before", "another")


def test_a_store_that_cannot_begin_since_another_process_stops_in_the_middle_of_one_ends_in_a_second(
    file_cache: FileTokenCache, path: Path
) -> None:
    with processes(path, STOPS_BEFORE_REPLACING) as [other]:
        assert other.hear() == "about to replace"
        began = time.monotonic()
        with pytest.raises(filelock.Timeout):
            file_cache.store(OTHER, "another", 60.0)
        assert 0.9 < time.monotonic() - began < 4
        other.nudge()


def test_processes_that_store_different_keys_at_the_same_time_lose_none(
    file_cache: FileTokenCache, path: Path
) -> None:
    count, each = 8, 5
    code = """
tell("ready")
wait()
for number in range({each}):
    cache.store(f"{start:032x}{{number:032x}}", f"{start} {{number}}", 60.0)
"""
    with processes(path, *[code.format(start=start, each=each) for start in range(count)]) as all_:
        for one in all_:
            assert one.hear() == "ready"
        for one in all_:
            one.nudge()
    for start in range(count):
        for number in range(each):
            assert file_cache.load(f"{start:032x}{number:032x}") == f"{start} {number}"


def test_a_reader_in_another_process_never_sees_a_part_of_a_record(
    file_cache: FileTokenCache, path: Path
) -> None:
    short, long = "s" * 10, "l" * 50_000
    code = """
stopped = threading.Event()
threading.Thread(target=lambda: (wait(), stopped.set())).start()
seen = set()
tell("ready")
while not stopped.is_set():
    for found in (cache.load({key!r}), cache.load({other!r})):
        word = None if found is None else f"{{len(found)}} {{len(set(found))}}"
        if word not in seen:
            seen.add(word)
            tell(word)
tell("stopped")
"""
    file_cache.store(KEY, long, 60.0)
    file_cache.store(OTHER, "constant", 60.0)
    with processes(path, code.format(key=KEY, other=OTHER)) as [reader]:
        assert reader.hear() == "ready"
        # Lengths, and numbers of different letters.
        assert {reader.hear(), reader.hear()} == {"50000 1", "8 6"}
        file_cache.store(KEY, short, 60.0)
        assert reader.hear() == "10 1"
        for _ in range(200):
            file_cache.store(KEY, long, 60.0)
            file_cache.store(KEY, short, 60.0)
        reader.nudge()
        assert reader.hear() == "stopped"


@needs_fork
@fork_with_threads
def test_a_forked_child_that_ends_does_not_give_back_the_lock_of_its_parent(
    file_cache: FileTokenCache,
) -> None:
    releases = [file_cache.lock(KEY, LEASE)]
    child = os.fork()
    if child == 0:
        releases.clear()
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert file_cache.lock(KEY, LEASE) is None
    releases.pop()()  # type: ignore[misc]
    again = file_cache.lock(KEY, LEASE)
    assert again is not None
    again()


@needs_fork
def test_a_forked_child_that_lives_on_does_not_keep_the_lock_of_a_parent_that_was_killed(
    file_cache: FileTokenCache, path: Path
) -> None:
    code = f"""
import os
release = cache.lock({KEY!r}, 10.0)
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, b"1")  # from here on the child is on its own
    wait()
    os._exit(0)
os.read(read, 1)
tell("forked")
threading.Event().wait(30)
"""
    with processes(path, code) as [parent]:
        assert parent.hear() == "forked"
        assert file_cache.lock(KEY, LEASE) is None
        parent.process.kill()
        parent.process.wait(10)
        release = file_cache.lock(KEY, LEASE)
        assert release is not None
        release()
        parent.nudge()  # the child ends


# The file itself


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@posix
def test_everything_is_for_its_owner_alone_from_the_first_byte(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one" / "two" / "three" / "tokens.json"
    before_a_byte: list[tuple[int, int]] = []
    before_it_is_in_place: list[int] = []
    real_mkstemp, real_replace = tempfile.mkstemp, Path.replace

    def mkstemp(*args: Any, **options: Any) -> tuple[int, str]:
        descriptor, name = real_mkstemp(*args, **options)
        before_a_byte.append((mode_of(Path(name)), os.fstat(descriptor).st_size))
        return descriptor, name

    def replace(temporary: Path, target: Path) -> Path:
        before_it_is_in_place.append(mode_of(temporary))
        return real_replace(temporary, target)

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    monkeypatch.setattr(Path, "replace", replace)
    cache = FileTokenCache(path)
    release = cache.lock(KEY, LEASE)
    cache.store(KEY, "record", 60.0)

    assert before_a_byte == [(0o600, 0)]
    assert before_it_is_in_place == [0o600]
    assert mode_of(path) == 0o600
    made = [entry for entry in (tmp_path / "one").rglob("*") if entry.is_dir()]
    assert {mode_of(folder) for folder in [tmp_path / "one", *made]} == {0o700}
    assert {mode_of(entry) for entry in path.parent.iterdir()} == {0o600}
    release()  # type: ignore[misc]
    assert cache.load(KEY) == "record"


@posix
def test_the_mode_of_a_directory_that_was_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    folder.chmod(0o755)
    FileTokenCache(folder / "tokens.json").store(KEY, "record", 60.0)

    assert mode_of(folder) == 0o755


def test_many_threads_make_the_same_missing_directories_at_once(tmp_path: Path) -> None:
    path = tmp_path / "/".join("abcdefgh") / "tokens.json"
    caches_ = [FileTokenCache(path) for _ in range(10)]
    at_once(10, lambda number: caches_[number].store(f"{number:064x}", "record", 60.0))

    assert [caches_[0].load(f"{number:064x}") for number in range(10)] == ["record"] * 10


def test_no_temporary_file_stays_behind(file_cache: FileTokenCache, path: Path) -> None:
    for number in range(5):
        file_cache.store(KEY, f"record {number}", 60.0)

    assert [entry for entry in path.parent.iterdir() if entry.suffix == ".tmp"] == []


def test_no_temporary_file_stays_behind_where_the_file_cannot_be_replaced(
    file_cache: FileTokenCache, path: Path
) -> None:
    path.mkdir()
    for _ in range(3):
        with pytest.raises(OSError):
            file_cache.store(KEY, "record", 60.0)

    assert [entry for entry in path.parent.iterdir() if entry.suffix == ".tmp"] == []


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_a_file_that_windows_does_not_let_go_for_a_moment_is_replaced_after_it(
    refusals: int,
    file_cache: FileTokenCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real_replace, refused = Path.replace, []

    def replace(temporary: Path, target: Path) -> Path:
        if len(refused) < refusals:
            refused.append(temporary)
            raise PermissionError(13, "Access is denied", str(target))
        return real_replace(temporary, target)

    monkeypatch.setattr(Path, "replace", replace)
    file_cache.store(KEY, "record", 60.0)

    assert len(refused) == refusals
    assert file_cache.load(KEY) == "record"


def test_a_file_that_may_not_be_replaced_is_an_error_in_the_end(
    file_cache: FileTokenCache, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(temporary: Path, target: Path) -> Path:
        raise PermissionError(13, "Access is denied", str(target))

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(PermissionError):
        file_cache.store(KEY, "record", 60.0)
    assert [entry for entry in path.parent.iterdir() if entry.suffix == ".tmp"] == []


def is_mended_by_the_next_store(cache: FileTokenCache, path: Path) -> bool:
    cache.store(KEY, "new", 60.0)
    status = path.lstat()
    own = os.name != "posix" or (mode_of(path), status.st_uid) == (0o600, os.geteuid())
    return cache.load(KEY) == "new" and stat.S_ISREG(status.st_mode) and own


def record_file(path: Path, record: str = "planted") -> None:
    path.touch(0o600)
    path.write_text(json.dumps({KEY: [record, time.time() + 60]}))


UNREADABLE: dict[str, bytes] = {
    "empty": b"",
    "blank": b"   \n",
    "zeros": b"\0" * 4096,
    "cut off": b'{"' + KEY.encode() + b'": ["record", 18000',
    "binary": bytes(range(256)),
    "a list": b"[1, 2]",
    "text": b'"text"',
    "null": b"null",
    "a number": b"12",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep inside": b'{"%b": [%b, 1]}' % (KEY.encode(), b"[" * 900 + b"]" * 900),
    "a record without its time": json.dumps({KEY: ["record"]}).encode(),
    "a record that is text": json.dumps({KEY: "record"}).encode(),
    "a record of two letters": json.dumps({KEY: "ab"}).encode(),
    "a record that is a number": json.dumps({KEY: 5}).encode(),
    "a time that is text": json.dumps({KEY: ["record", "soon"]}).encode(),
    "a time that is null": json.dumps({KEY: ["record", None]}).encode(),
    "an enormous time": b'{"%b": ["record", 1%b]}' % (KEY.encode(), b"0" * 400),
    "a number of too many digits": b'{"%b": ["record", 1%b]}' % (KEY.encode(), b"0" * 5000),
    "another version": json.dumps({"version": 2, "records": {KEY: ["record", 1]}}).encode(),
    "utf-16": '{"a": "b"'.encode("utf-16"),
    "not utf-8": b'{"\xff": 1}',
    "half of a record in a good file": json.dumps(
        {OTHER: ["x", 1], KEY: ["record", 1, 2]}
    ).encode(),
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_content_of_another_kind_is_absent_and_replaced(
    content: bytes, file_cache: FileTokenCache, path: Path
) -> None:
    path.touch(0o600)
    path.write_bytes(content)

    found = file_cache.load(KEY)
    assert found is None or found.startswith("[[")  # which is no record either
    assert is_mended_by_the_next_store(file_cache, path)


@pytest.mark.parametrize("until", ["NaN", "Infinity", "-Infinity", "1e999", "0", "true"])
def test_a_strange_time_does_no_harm(until: str, file_cache: FileTokenCache, path: Path) -> None:
    path.touch(0o600)
    path.write_text(f'{{"{KEY}": ["record", {until}]}}')

    assert file_cache.load(KEY) == "record"  # what it is worth says the record itself
    file_cache.store(OTHER, "another", 60.0)
    assert file_cache.load(OTHER) == "another"
    assert is_mended_by_the_next_store(file_cache, path)


def test_a_surrogate_in_the_file_does_no_harm(file_cache: FileTokenCache, path: Path) -> None:
    path.touch(0o600)
    path.write_text(f'{{"{KEY}": ["\\ud800", {time.time() + 60}]}}')

    assert file_cache.load(KEY) == "\ud800"
    file_cache.store(OTHER, "another", 60.0)
    assert file_cache.load(OTHER) == "another"


def test_a_file_that_is_cut_off_anywhere_is_absent(file_cache: FileTokenCache, path: Path) -> None:
    file_cache.store(KEY, "record", 60.0)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert file_cache.load(KEY) is None


def test_a_file_that_is_too_large_is_absent_and_is_not_read_to_its_end(
    file_cache: FileTokenCache, path: Path
) -> None:
    record_file(path)
    assert file_cache.load(KEY) == "planted"
    with path.open("r+b") as file:
        file.truncate(10**12)  # of nothing: it takes no room on the disk

    assert file_cache.load(KEY) is None
    assert is_mended_by_the_next_store(file_cache, path)
    assert path.stat().st_size < 1000


@pytest.mark.parametrize(("size", "found"), [(256 * 1024, "planted"), (256 * 1024 + 1, None)])
def test_a_file_is_too_large_from_the_first_byte_over_256_kib(
    size: int, found: str | None, file_cache: FileTokenCache, path: Path
) -> None:
    record_file(path)
    path.write_bytes(path.read_bytes().ljust(size))  # white space, which JSON does not mind

    assert file_cache.load(KEY) == found


def test_the_largest_file_that_is_written_can_be_read(
    file_cache: FileTokenCache, path: Path
) -> None:
    for number in range(70):
        file_cache.store(f"{number:064x}", "r" * 4096, 60.0)

    assert path.stat().st_size <= caches._LARGEST_FILE
    kept = [number for number in range(70) if file_cache.load(f"{number:064x}") is not None]
    assert kept == list(range(kept[0], 70))  # the oldest made room
    assert len(kept) > 55


def test_a_record_that_was_stored_again_is_not_the_oldest_any_more(
    file_cache: FileTokenCache,
) -> None:
    for number in [*range(60), 0, *range(60, 90)]:
        file_cache.store(f"{number:064x}", "r" * 4096, 60.0)

    assert file_cache.load(f"{1:064x}") is None
    assert file_cache.load(f"{0:064x}") is not None


def test_a_record_that_can_never_fit_is_not_kept(file_cache: FileTokenCache, path: Path) -> None:
    file_cache.store(KEY, "r" * caches._LARGEST_FILE, 60.0)

    assert file_cache.load(KEY) is None
    assert is_mended_by_the_next_store(file_cache, path)


def test_expired_records_are_gone_after_the_next_store(
    file_cache: FileTokenCache, path: Path
) -> None:
    file_cache.store("expired", "record", 0.0)
    file_cache.store("unknown", "record", None)
    file_cache.store("good", "record", 60.0)
    assert list(json.loads(path.read_bytes())) == ["unknown", "good"]


def test_what_is_kept_has_an_end(file_cache: FileTokenCache, path: Path) -> None:
    before = time.time()
    file_cache.store("unknown", "record", None)
    file_cache.store("enormous", "record", 1e300)
    after = time.time()

    ends = {key: until for key, (_, until) in json.loads(path.read_bytes()).items()}
    assert before + 3600 <= ends["unknown"] <= after + 3600
    assert before + 30 * 24 * 3600 <= ends["enormous"] <= after + 30 * 24 * 3600


# What else can lie in its place


@posix
def test_a_link_in_its_place_is_neither_read_nor_written_through(
    file_cache: FileTokenCache, path: Path
) -> None:
    target = path.with_name("target.json")
    record_file(target)
    content = target.read_bytes()
    path.symlink_to(target)

    assert file_cache.load(KEY) is None
    assert is_mended_by_the_next_store(file_cache, path)
    assert target.read_bytes() == content


@posix
def test_a_link_to_nothing_in_its_place_is_replaced(file_cache: FileTokenCache, path: Path) -> None:
    target = path.with_name("target.json")
    path.symlink_to(target)

    assert file_cache.load(KEY) is None
    assert is_mended_by_the_next_store(file_cache, path)
    assert not target.exists()


@posix
@pytest.mark.parametrize("lock_file", [f"tokens.json.{KEY[:16]}.lock", "tokens.json.update.lock"])
def test_a_link_in_the_place_of_a_lock_is_refused_and_its_target_untouched(
    lock_file: str, file_cache: FileTokenCache, path: Path
) -> None:
    target = path.with_name("precious")
    target.write_text("precious")
    target.chmod(0o644)
    path.with_name(lock_file).symlink_to(target)

    with pytest.raises(OSError):
        if "update" in lock_file:
            file_cache.store(KEY, "record", 60.0)
        else:
            file_cache.lock(KEY, LEASE)
    assert target.read_text() == "precious"
    assert mode_of(target) == 0o644


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.timeout(20)
def test_a_pipe_in_its_place_is_not_waited_for(file_cache: FileTokenCache, path: Path) -> None:
    os.mkfifo(path, 0o600)

    assert file_cache.load(KEY) is None
    assert is_mended_by_the_next_store(file_cache, path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.timeout(20)
def test_what_comes_through_a_pipe_in_its_place_is_not_believed(
    file_cache: FileTokenCache, path: Path
) -> None:
    os.mkfifo(path, 0o600)
    writer = os.open(path, os.O_RDWR)
    try:
        os.write(writer, json.dumps({KEY: ["planted", time.time() + 60]}).encode())
        assert file_cache.load(KEY) is None
    finally:
        os.close(writer)


@posix
def test_a_device_in_its_place_is_not_read(path: Path) -> None:
    assert FileTokenCache("/dev/zero").load(KEY) is None


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", ["directory", "pipe", "open to others", "garbage", "too large"])
def test_what_cannot_be_read_leaves_no_file_open(
    kind: str, file_cache: FileTokenCache, path: Path
) -> None:
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path, 0o600)
        case "open to others":
            record_file(path)
            path.chmod(0o644)
        case "garbage":
            path.touch(0o600)
            path.write_text("garbage")
        case "too large":
            path.touch(0o600)
            path.write_bytes(b" " * (caches._LARGEST_FILE + 1))
    before = open_files()
    for _ in range(10):
        assert file_cache.load(KEY) is None

    assert open_files() == before


def test_a_directory_in_its_place_is_absent_and_an_error_to_store_into(
    file_cache: FileTokenCache, path: Path
) -> None:
    path.mkdir()
    (path / "precious").write_text("precious")

    assert file_cache.load(KEY) is None
    with pytest.raises(OSError):
        file_cache.store(KEY, "record", 60.0)
    assert (path / "precious").read_text() == "precious"


def test_a_file_in_the_place_of_its_directory_is_absent_and_an_error_to_store_into(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("precious")
    cache = FileTokenCache(tmp_path / "file" / "tokens.json")

    assert cache.load(KEY) is None
    with pytest.raises(OSError):
        cache.store(KEY, "record", 60.0)
    with pytest.raises(OSError):
        cache.lock(KEY, LEASE)
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_no_file_can_have_is_absent_and_an_error_to_store_into(
    name: str, tmp_path: Path
) -> None:
    cache = FileTokenCache(tmp_path / name)

    assert cache.load(KEY) is None
    with pytest.raises((OSError, ValueError)):
        cache.store(KEY, "record", 60.0)


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o606, 0o610, 0o601], ids=oct)
def test_a_file_open_to_others_is_absent_and_replaced(
    mode: int, file_cache: FileTokenCache, path: Path
) -> None:
    record_file(path)
    path.chmod(mode)

    assert file_cache.load(KEY) is None
    assert is_mended_by_the_next_store(file_cache, path)


@posix
@pytest.mark.skipif(
    os.name == "posix" and os.geteuid() != 0, reason="root alone can give a file to somebody else"
)
def test_a_file_of_somebody_else_is_absent_and_replaced(
    file_cache: FileTokenCache, path: Path
) -> None:
    record_file(path)
    assert file_cache.load(KEY) == "planted"
    os.chown(path, 65534, -1)

    assert file_cache.load(KEY) is None
    assert is_mended_by_the_next_store(file_cache, path)


def test_a_hard_link_to_another_file_is_replaced_and_not_written_through(
    file_cache: FileTokenCache, path: Path
) -> None:
    target = path.with_name("target")
    target.touch(0o600)
    target.write_text("precious")
    os.link(target, path)

    assert file_cache.load(KEY) is None
    assert is_mended_by_the_next_store(file_cache, path)
    assert target.read_text() == "precious"


def test_everything_may_be_deleted_at_any_time(file_cache: FileTokenCache, path: Path) -> None:
    release = file_cache.lock(KEY, LEASE)
    file_cache.store(KEY, "record", 60.0)
    shutil.rmtree(path.parent)

    assert file_cache.load(KEY) is None
    release()  # type: ignore[misc]
    file_cache.store(KEY, "new", 60.0)
    assert file_cache.load(KEY) == "new"


# Where it is


def test_a_tilde_is_the_home_directory(tmp_path: Path) -> None:
    FileTokenCache("~/somewhere/tokens.json").store(KEY, "record", 60.0)

    assert FileTokenCache(tmp_path / "somewhere" / "tokens.json").load(KEY) == "record"


@posix
def test_the_home_directory_of_nobody_is_an_error_at_once() -> None:
    with pytest.raises(RuntimeError, match="home"):
        FileTokenCache("~no-such-user/tokens.json")


def test_a_relative_path_stays_the_same_file_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = FileTokenCache("tokens.json")
    cache.store(KEY, "record", 60.0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert cache.load(KEY) == "record"


@pytest.mark.skipif(sys.platform != "linux", reason="where caches are on Linux")
@pytest.mark.parametrize("setting", ["HOME", "XDG_CACHE_HOME"])
def test_without_a_path_it_is_in_the_users_cache_directory(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(setting, str(tmp_path / "here"))
    FileTokenCache().store(KEY, "record", 60.0)

    folder = tmp_path / "here" / (".cache" if setting == "HOME" else "")
    path = folder / "thebase_auth" / "tokens.json"
    assert FileTokenCache(path).load(KEY) == "record"
    assert repr(FileTokenCache()) == f"FileTokenCache({str(path)!r})"


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    cache = FileTokenCache(tmp_path / "folder" / "tokens.json")

    assert cache.load(KEY) is None
    assert not (tmp_path / "folder").exists()


def test_a_copy_by_pickle_shares_the_file(file_cache: FileTokenCache) -> None:
    file_cache.store(KEY, "record", 60.0)

    assert pickle.loads(pickle.dumps(file_cache)).load(KEY) == "record"


# The libraries that are missing

MAKE = """
from thebase_auth.caches import FileTokenCache, RedisTokenCache
try:
    FileTokenCache({argument})
except ImportError as error:
    print(json.dumps([type(error).__name__, error.name, str(error)]))
else:
    print(json.dumps("made"))
"""


@pytest.mark.parametrize(
    ("missing", "argument"), [("filelock", ""), ("filelock", "'x'"), ("platformdirs", "")]
)
def test_a_missing_library_is_an_import_error_that_names_the_extra(
    missing: str, argument: str
) -> None:
    kind, _, text = without({missing}, MAKE.format(argument=argument))

    assert kind == "ImportError"
    assert f"needs {missing}" in text
    assert "pip install 'thebase-auth[file]'" in text


def test_platformdirs_is_not_needed_where_a_path_is_given() -> None:
    assert without({"platformdirs"}, MAKE.format(argument="'x'")) == "made"


def test_a_library_that_is_broken_is_not_reported_as_missing() -> None:
    kind, name, text = without(
        set(), "sys.modules['filelock._api'] = None\n" + MAKE.format(argument="'x'")
    )

    assert (kind, name) == ("ModuleNotFoundError", "filelock._api")
    assert "thebase-auth[" not in text


def test_the_module_and_its_class_for_redis_need_no_library_at_all() -> None:
    assert run(
        "before = set(sys.modules)\n"
        "from thebase_auth.caches import RedisTokenCache\n"
        "print(json.dumps(sorted({'redis', 'valkey', 'filelock', 'platformdirs'}"
        " & set(sys.modules))))"
    ) == []  # fmt: skip


# A database


@pytest.mark.parametrize(
    ("lifetime", "milliseconds"),
    [
        (60.0, 60_000),
        (0.5, 500),
        (None, 3_600_000),
        (1e300, 30 * 24 * 3_600_000),
        (math.inf, 30 * 24 * 3_600_000),
    ],
)
def test_a_record_expires_with_its_token(
    lifetime: float | None, milliseconds: int, redis_cache: RedisTokenCache, database: Database
) -> None:
    client = database.client()
    began = time.monotonic()
    redis_cache.store(KEY, "record", lifetime)
    left = client.pttl(f"thebase_auth:{KEY}")
    passed = (time.monotonic() - began) * 1000

    assert milliseconds - passed - 2 <= left <= milliseconds


@pytest.mark.parametrize("lifetime", [0.0, -1.0, 1e-9])
def test_a_record_without_a_future_is_gone_in_a_moment(
    lifetime: float, redis_cache: RedisTokenCache, database: Database
) -> None:
    client = database.client()
    redis_cache.store(KEY, "record", lifetime)

    assert client.pttl(f"thebase_auth:{KEY}") in {-2, 0, 1}


def until_gone(client: Any, name: str) -> None:
    give_up_at = time.monotonic() + 10
    while client.exists(name):
        assert time.monotonic() < give_up_at


def test_a_lock_ends_by_itself_after_its_lease(
    redis_cache: RedisTokenCache, database: Database
) -> None:
    client = database.client()
    began = time.monotonic()
    assert redis_cache.lock(KEY, 0.2) is not None
    assert -1 != client.pttl(f"thebase_auth:{KEY}:lock") <= 200  # -1 would be for good
    until_gone(client, f"thebase_auth:{KEY}:lock")

    assert time.monotonic() - began >= 0.19
    assert redis_cache.lock(KEY, LEASE) is not None


def test_a_lock_that_ended_by_itself_is_given_back_without_harm_to_the_next(
    redis_cache: RedisTokenCache, database: Database
) -> None:
    late = redis_cache.lock(KEY, 0.05)
    until_gone(database.client(), f"thebase_auth:{KEY}:lock")
    assert late is not None
    late()  # a cache that works well: no error

    late = redis_cache.lock(KEY, 0.05)
    until_gone(database.client(), f"thebase_auth:{KEY}:lock")
    next_one = redis_cache.lock(KEY, LEASE)
    late()  # type: ignore[misc]
    assert redis_cache.lock(KEY, LEASE) is None
    next_one()  # type: ignore[misc]
    assert redis_cache.lock(KEY, LEASE) is not None


@pytest.mark.parametrize("lease", [0.0, -1.0, 0.0004, 1e-12])
def test_a_lock_with_next_to_no_lease_ends_all_the_same(
    lease: float, redis_cache: RedisTokenCache, database: Database
) -> None:
    assert redis_cache.lock(KEY, lease) is not None
    until_gone(database.client(), f"thebase_auth:{KEY}:lock")


PLANTED: dict[str, Callable[[Any, str], Any]] = {
    "a list": lambda client, name: client.rpush(name, "a", "b"),
    "a hash": lambda client, name: client.hset(name, "a", "b"),
    "a stream": lambda client, name: client.xadd(name, {"a": "b"}),
    "binary garbage": lambda client, name: client.set(name, bytes(range(256))),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_is_no_text_under_the_key_is_absent_and_gets_overwritten(
    plant: Callable[[Any, str], Any], redis_cache: RedisTokenCache, database: Database
) -> None:
    plant(database.client(), f"thebase_auth:{KEY}")

    assert redis_cache.load(KEY) is None
    assert redis_cache.load(OTHER) is None  # the connection is good after it
    redis_cache.store(KEY, "record", 60.0)
    assert redis_cache.load(KEY) == "record"


def test_what_a_client_turns_into_something_else_than_text_is_absent(
    redis_cache: RedisTokenCache, shared_client: Any
) -> None:
    shared_client.set_response_callback("GET", lambda response, **options: [response])
    redis_cache.store(KEY, "record", 60.0)

    assert redis_cache.load(KEY) is None


def test_what_is_planted_under_the_lock_counts_as_somebody_elses_lock(
    redis_cache: RedisTokenCache, database: Database
) -> None:
    database.client().rpush(f"thebase_auth:{KEY}:lock", "a")

    assert redis_cache.lock(KEY, LEASE) is None


def test_all_names_begin_with_the_prefix(shared_client: Any, database: Database) -> None:
    one, another = RedisTokenCache(shared_client, prefix="one/"), RedisTokenCache(shared_client)
    one.store(KEY, "record", 60.0)
    release = one.lock(KEY, LEASE)

    assert sorted(database.client().keys()) == [
        f"one/{KEY}".encode(),
        f"one/{KEY}:lock".encode(),
    ]
    assert another.load(KEY) is None
    assert another.lock(KEY, LEASE) is not None
    release()  # type: ignore[misc]


def test_the_clients_of_all_libraries_share_one_record_and_one_lock(database: Database) -> None:
    several = [RedisTokenCache(database.client(kind)) for kind in CLIENT_KINDS]
    several[0].store(KEY, "record", 60.0)
    assert [cache.load(KEY) for cache in several] == ["record"] * len(several)
    release = several[0].lock(KEY, LEASE)
    assert [cache.lock(KEY, LEASE) for cache in several] == [None] * len(several)
    release()  # type: ignore[misc]
    assert several[-1].lock(KEY, LEASE) is not None


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_many_threads_do_with_a_pool_of_five_connections(kind: str, database: Database) -> None:
    cache = RedisTokenCache(database.client(kind, max_connections=5))

    def use(number: int) -> Any:
        key = f"{number:064x}"
        for _ in range(3):
            release = cache.lock(key, LEASE)
            assert release is not None
            assert cache.lock(key, LEASE) is None
            cache.store(key, f"record {number}", 60.0)
            release()
        return cache.load(key)

    assert at_once(20, use) == [f"record {number}" for number in range(20)]


# How many threads use a cache at once


@pytest.fixture(params=["file", "redis"])
def any_cache(request: pytest.FixtureRequest, file_cache: Any, database: Database) -> Any:
    return file_cache if request.param == "file" else RedisTokenCache(database.client())


@contextmanager
def all_turns_taken(cache: Any) -> Iterator[Any]:
    """As by threads that do not come to an end; gives what ends the first of them."""
    with ExitStack() as others, ExitStack() as first:
        for _ in range(caches._CALLS_AT_ONCE - 1):
            others.enter_context(cache._turns.one())
        first.enter_context(cache._turns.one())
        yield first.close
    assert cache._turns._free._value == caches._CALLS_AT_ONCE


def test_a_few_threads_at_a_time_read_a_file(
    file_cache: FileTokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, most = [0], [0]
    records, count = file_cache._records, threading.Lock()
    together = threading.Barrier(caches._CALLS_AT_ONCE)

    def counted() -> Any:
        with count:
            reading[0] += 1
            most[0] = max(most[0], reading[0])
        together.wait(10)
        with count:
            reading[0] -= 1
        return records()

    monkeypatch.setattr(file_cache, "_records", counted)
    assert at_once(20, lambda _: file_cache.load(KEY)) == [None] * 20
    assert most[0] == caches._CALLS_AT_ONCE


def test_a_thread_waits_for_its_turn_as_long_as_others_come_to_an_end(
    any_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "_NOBODY_ENDS", 0.02)
    any_cache.store(KEY, "record", 60.0)
    with all_turns_taken(any_cache) as end_one, ThreadPoolExecutor(1) as pool:
        any_cache._turns._ended_at = time.monotonic() + 3600
        waiting = pool.submit(any_cache.load, KEY)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        end_one()
        assert waiting.result(10) == "record"


def test_a_thread_goes_on_without_a_turn_when_nobody_comes_to_an_end_for_a_second(
    any_cache: Any,
) -> None:
    any_cache.store(KEY, "record", 60.0)
    with all_turns_taken(any_cache):
        began = time.monotonic()
        assert in_thread(lambda: any_cache.load(KEY)) == "record"
        assert 0.9 < time.monotonic() - began < 10


@needs_fork
@fork_with_threads
def test_a_forked_child_uses_the_cache_though_its_parent_had_all_turns(any_cache: Any) -> None:
    any_cache.store(KEY, "record", 60.0)
    with all_turns_taken(any_cache):
        with any_cache._turns._free._cond:  # as another thread may, at the moment of the fork
            child = os.fork()
            if child == 0:
                found = None
                with suppress(BaseException):
                    began = time.monotonic()
                    found = any_cache.load(KEY)
                    found = found if time.monotonic() - began < 0.9 else "too late"
                os._exit(7 if found == "record" else 1)
        assert os.waitstatus_to_exitcode(wait_for(child)) == 7
    assert any_cache.load(KEY) == "record"


def wait_for(child: int) -> int:
    """The status with which *child* ended; it is killed if it does not."""
    killer = threading.Timer(20, os.kill, (child, 9))
    killer.start()
    _, status = os.waitpid(child, 0)
    killer.cancel()
    killer.join()
    return status


def test_a_server_that_is_gone_is_an_error_of_the_clients_library() -> None:
    with redis.Redis(port=1, retry=Retry(NoBackoff(), 0)) as client:
        cache = RedisTokenCache(client)
        for call in (
            lambda: cache.load(KEY),
            lambda: cache.store(KEY, "record", None),
            lambda: cache.lock(KEY, LEASE),
        ):
            with pytest.raises(redis.ConnectionError):
                call()


# Which clients it takes


@pytest.mark.parametrize(
    "make",
    [redis.asyncio.Redis, valkey.asyncio.Valkey],
    ids=["redis.asyncio", "valkey.asyncio"],
)
def test_an_asyncio_client_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match=r"asyncio .* redis\.Redis"):
        RedisTokenCache(make())


@pytest.mark.parametrize("kind", [redis.Redis, valkey.Valkey, redis.asyncio.Redis])
def test_a_class_in_the_place_of_a_client_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=f"not {kind.__name__}"):
        RedisTokenCache(kind)


@pytest.mark.parametrize("nonsense", [None, "redis://localhost", {}, object()])
def test_what_is_no_client_is_refused(nonsense: Any) -> None:
    with pytest.raises(TypeError, match="redis-py or valkey-py, not "):
        RedisTokenCache(nonsense)


@pytest.mark.parametrize("construct", [redis.Redis, valkey.Valkey])
def test_neither_repr_nor_a_refusal_shows_the_password(construct: Any) -> None:
    with construct(username="someone", password="a-password") as client:
        assert repr(RedisTokenCache(client)) == (
            f"RedisTokenCache(<{construct.__name__} localhost 6379 0>, prefix='thebase_auth:')"
        )


@pytest.mark.parametrize("path", ["", b""])
def test_an_empty_path_is_refused(path: Any) -> None:
    with pytest.raises(ValueError, match="path is empty"):
        FileTokenCache(path)


# Copies


def copied(cache: RedisTokenCache, database: Database) -> RedisTokenCache:
    copy: RedisTokenCache = pickle.loads(pickle.dumps(cache))
    database.to_be_closed(copy._client)
    return copy


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_a_copy_by_pickle_uses_the_same_database_through_a_client_of_its_own(
    kind: str, database: Database
) -> None:
    client = database.client(kind, db=3, socket_timeout=7.0)
    cache = RedisTokenCache(client, prefix="mine:")
    cache.store(KEY, "record", 60.0)
    copy = copied(copied(cache, database), database)

    assert copy._client is not client
    assert type(copy._client) is type(client)
    assert copy.load(KEY) == "record"
    settings = copy._client.connection_pool.connection_kwargs
    for name in ("db", "socket_timeout", "decode_responses"):
        assert settings[name] == client.connection_pool.connection_kwargs[name]
    release = copy.lock(KEY, LEASE)
    assert cache.lock(KEY, LEASE) is None
    release()  # type: ignore[misc]
    assert database.client(db=3).keys() == [f"mine:{KEY}".encode()]


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_a_copy_has_no_timeout_where_its_original_has_none(kind: str, database: Database) -> None:
    cache = RedisTokenCache(database.client(kind, socket_timeout=None))
    copy = copied(cache, database)

    assert copy.load(KEY) is None
    [connection] = copy._client.connection_pool._available_connections
    assert connection.socket_timeout is None


def connect_under_a_name(connection: Any) -> None:
    connection.client_name = "somebody"
    connection.on_connect()


@pytest.mark.parametrize(
    ("kind", "setting"),
    [("redis-py", "redis_connect_func"), ("valkey-py", "valkey_connect_func")],
)
def test_a_copy_does_on_connecting_what_its_original_does(
    kind: str, setting: str, database: Database
) -> None:
    pool_of = {"redis-py": redis.ConnectionPool, "valkey-py": valkey.ConnectionPool}[kind]
    pool = pool_of(port=database.port, **{setting: connect_under_a_name})
    client = database.to_be_closed(type(database.client(kind))(connection_pool=pool))
    copy = copied(RedisTokenCache(client), database)

    assert copy.load(KEY) is None
    assert copy._client.client_getname() in {"somebody", b"somebody"}


class ConnectionOfOurOwn(redis.Connection):
    """As the one over TLS, or to a socket in the file system, is a class of its own."""


def test_a_copy_connects_in_the_same_way(database: Database) -> None:
    pool = redis.ConnectionPool(connection_class=ConnectionOfOurOwn, port=database.port)
    cache = RedisTokenCache(database.to_be_closed(redis.Redis(connection_pool=pool)))
    copy = copied(cache, database)

    assert copy.load(KEY) is None
    [connection] = copy._client.connection_pool._available_connections
    assert type(connection) is ConnectionOfOurOwn


@pytest.mark.parametrize("library", [redis, valkey])
def test_a_copy_keeps_the_bounds_of_the_pool(library: Any, database: Database) -> None:
    pool = library.BlockingConnectionPool(port=database.port, max_connections=3, timeout=2)
    construct = library.Redis if library is redis else library.Valkey
    cache = RedisTokenCache(database.to_be_closed(construct(connection_pool=pool)))
    copy = copied(cache, database)

    assert copy.load(KEY) is None
    made = copy._client.connection_pool
    assert (type(made), made.max_connections, made.timeout) == (type(pool), 3, 2)


def test_a_copy_of_a_client_with_an_url_goes_to_the_same_place(database: Database) -> None:
    client = redis.Redis.from_url(f"redis://127.0.0.1:{database.port}/2?max_connections=9")
    cache = RedisTokenCache(database.to_be_closed(client))
    cache.store(KEY, "record", 60.0)
    copy = copied(cache, database)

    assert copy.load(KEY) == "record"
    assert copy._client.connection_pool.max_connections == 9


@pytest.fixture
def user(database: Database) -> Iterator[tuple[str, str]]:
    """Name and password of a user of the database; others are still let in without."""
    client = database.client()
    client.acl_setuser("someone", enabled=True, passwords=["+a-password"], keys="*",
                       categories=["+@all"])  # fmt: skip
    yield "someone", "a-password"
    client.acl_deluser("someone")


def test_a_copy_logs_in_as_its_original_did(user: tuple[str, str], database: Database) -> None:
    name, password = user
    clients = [
        database.client("redis-py", username=name, password=password),
        database.client("valkey-py", username=name, password=password),
        database.client(
            "redis-py", credential_provider=redis.UsernamePasswordCredentialProvider(name, password)
        ),
        database.client(
            "valkey-py",
            credential_provider=valkey.UsernamePasswordCredentialProvider(name, password),
        ),
    ]
    for client in clients:
        copy = copied(RedisTokenCache(client), database)
        copy.store(KEY, "record", 60.0)
        assert copy.load(KEY) == "record"
        assert copy._client.acl_whoami() in {name, name.encode()}


def test_a_copy_tries_again_as_often_as_its_original(database: Database) -> None:
    cache = RedisTokenCache(database.client("redis-py", retry=Retry(NoBackoff(), 5)))
    copy = copied(cache, database)

    assert copy.load(KEY) is None
    assert copy._client.connection_pool.connection_kwargs["retry"]._retries == 5


def unusable(cache: RedisTokenCache, name: str) -> bool:
    for call in (
        lambda: cache.load(KEY),
        lambda: cache.store(KEY, "record", None),
        lambda: cache.lock(KEY, LEASE),
    ):
        with pytest.raises(RuntimeError, match=f"class {name} cannot be pickled; make the RedisTo"):
            call()
    return True


class ClientOfAnotherKind:
    """What a wrapper, or a client for a cluster, may be like."""

    def __init__(self, somewhere: str) -> None:
        self.somewhere = somewhere

    def lock(self, name: str, **options: Any) -> Any:
        raise NotImplementedError


def test_a_client_that_cannot_be_rebuilt_says_so_when_its_copy_is_used() -> None:
    copy = pickle.loads(pickle.dumps(RedisTokenCache(ClientOfAnotherKind("x"), prefix="mine:")))

    assert unusable(copy, "ClientOfAnotherKind")
    assert unusable(pickle.loads(pickle.dumps(copy)), "ClientOfAnotherKind")
    assert "mine:" in repr(copy)


def test_a_client_of_a_class_that_pickle_cannot_name_says_so_when_its_copy_is_used() -> None:
    class Local(redis.Redis):
        pass

    with Local() as client:
        assert unusable(pickle.loads(pickle.dumps(RedisTokenCache(client))), "Local")


def test_a_client_whose_way_to_log_in_cannot_be_pickled_says_so_when_its_copy_is_used() -> None:
    class Provider(redis.CredentialProvider):
        def get_credentials(self) -> tuple[str]:
            return ("a-password",)

    with redis.Redis(credential_provider=Provider()) as client:
        assert unusable(pickle.loads(pickle.dumps(RedisTokenCache(client))), "Redis")


def test_a_client_of_a_sentinel_says_so_when_its_copy_is_used(database: Database) -> None:
    sentinel = redis.Sentinel([("127.0.0.1", database.port)])
    client = database.to_be_closed(sentinel.master_for("mymaster"))

    assert unusable(pickle.loads(pickle.dumps(RedisTokenCache(client))), "Redis")
    for one in sentinel.sentinels:
        one.close()
