"""FileTokenCache on real files: its lock between processes, what is read, and where it is."""

from __future__ import annotations

import gc
import json
import os
import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.caches import (
    KEY,
    LEASE,
    OTHER,
    at_once,
    fork_with_threads,
    is_mended_by_the_next_store,
    mode_of,
    needs_fork,
    posix,
    processes,
    record_file,
)
from thebase_auth.caches import FileTokenCache, _file

# A file between processes


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


def test_a_lock_is_not_waited_for(file_cache: FileTokenCache, monkeypatch: pytest.MonkeyPatch) -> None:
    release = file_cache.lock(KEY, LEASE)
    monkeypatch.setattr(time, "sleep", pytest.fail)
    assert file_cache.lock(KEY, LEASE) is None
    monkeypatch.undo()
    release()  # type: ignore[misc]


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


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@posix
def test_everything_is_for_its_owner_only_from_the_first_byte(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one" / "two" / "three" / "tokens.json"
    before_a_byte: list[tuple[int, int]] = []
    before_it_is_in_place: list[int] = []
    real_open, real_replace = _file._open_for_owner, Path.replace

    def open_for_owner(name: str, flags: int) -> int:
        descriptor = real_open(name, flags)
        before_a_byte.append((mode_of(Path(name)), os.fstat(descriptor).st_size))
        return descriptor

    def replace(temporary: Path, target: Path) -> Path:
        before_it_is_in_place.append(mode_of(temporary))
        return real_replace(temporary, target)

    monkeypatch.setattr(_file, "_open_for_owner", open_for_owner)
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
    "half of a record in a good file": json.dumps({OTHER: ["x", 1], KEY: ["record", 1, 2]}).encode(),
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_content_of_another_kind_is_absent_and_replaced(
    content: bytes, file_cache: FileTokenCache, path: Path
) -> None:
    path.touch(0o600)
    path.write_bytes(content)

    found = file_cache.load(KEY)
    assert found is None or found.startswith("[[")  # which is not a record either
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


def test_the_largest_file_that_is_written_can_be_read(file_cache: FileTokenCache, path: Path) -> None:
    for number in range(70):
        file_cache.store(f"{number:064x}", "r" * 4096, 60.0)

    assert path.stat().st_size <= _file._LARGEST_FILE
    kept = [number for number in range(70) if file_cache.load(f"{number:064x}") is not None]
    assert kept == list(range(kept[0], 70))  # the oldest made room
    assert len(kept) > 55


def test_a_record_that_was_stored_again_is_not_the_oldest_any_more(file_cache: FileTokenCache) -> None:
    for number in [*range(60), 0, *range(60, 90)]:
        file_cache.store(f"{number:064x}", "r" * 4096, 60.0)

    assert file_cache.load(f"{1:064x}") is None
    assert file_cache.load(f"{0:064x}") is not None


def test_a_record_that_can_never_fit_is_not_kept(file_cache: FileTokenCache, path: Path) -> None:
    file_cache.store(KEY, "r" * _file._LARGEST_FILE, 60.0)

    assert file_cache.load(KEY) is None
    assert is_mended_by_the_next_store(file_cache, path)


def test_expired_records_are_gone_after_the_next_store(file_cache: FileTokenCache, path: Path) -> None:
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


@pytest.mark.parametrize("path", ["", b""])
def test_an_empty_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path is empty"):
        FileTokenCache(path)
