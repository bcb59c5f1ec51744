"""FileTokenCache on real files: its lock between processes, whom it trusts, and whole replacements."""

from __future__ import annotations

import gc
import json
import os
import pickle
import resource
import stat
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.support.caches import KEY, OTHER
from tests.support.processes import Process, fork_with_threads, in_a_child
from thebase_auth.caches import FileTokenCache

pytestmark = pytest.mark.skipif(os.name != "posix", reason="file modes and owners are POSIX's")

PREAMBLE = f"""
import os, sys
from thebase_auth.caches import FileTokenCache
cache = FileTokenCache(sys.argv[1])
KEY = {KEY!r}
"""


def another(path: Path, code: str) -> Process:
    return Process("-c", PREAMBLE + code, str(path))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names(folder: Path) -> set[str]:
    """What is in *folder*, apart from the empty files for locks."""
    return {one.name for one in folder.iterdir() if one.suffix != ".lock"}


def write_record(path: Path, record: str = "planted") -> None:
    path.touch(0o600)
    path.write_text(json.dumps({KEY: [record, time.time() + 60]}))


def assert_next_store_replaces_it(cache: FileTokenCache, path: Path) -> None:
    cache.store(KEY, "new", 60.0)
    assert cache.load(KEY) == "new"
    assert stat.S_ISREG(path.lstat().st_mode)
    assert (mode_of(path), path.lstat().st_uid) == (0o600, os.geteuid())


# The lock

HOLD = """
release = cache.lock(KEY, timeout=10)
print("held" if release else "not held", flush=True)
sys.stdin.readline()
"""


def test_lock_of_a_killed_process_is_free_at_once(file_cache: FileTokenCache, path: Path) -> None:
    with another(path, HOLD) as other:
        assert other.read_line() == "held"
        assert file_cache.lock(KEY, timeout=0.05) is None
        other.kill()
        release = file_cache.lock(KEY, timeout=0.5)
        assert release is not None
        release()


@fork_with_threads
def test_exiting_child_does_not_release_the_lock_of_its_parent(file_cache: FileTokenCache) -> None:
    releases = [file_cache.lock(KEY, timeout=1)]

    def forget() -> bool:
        releases.clear()
        return gc.collect() >= 0

    assert in_a_child(forget)
    assert file_cache.lock(KEY, timeout=0.05) is None
    releases.pop()()  # type: ignore[misc]


# Only its owner can read it


def test_everything_is_private_from_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes_before_replacing: list[int] = []
    replace = os.replace

    def replace_and_record(source: Any, target: Any) -> None:
        modes_before_replacing.append(mode_of(Path(source)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_and_record)
    path = tmp_path / "one" / "two" / "tokens.json"
    cache = FileTokenCache(path)
    umask = os.umask(0)
    try:
        release = cache.lock(KEY, timeout=1)
        cache.store(KEY, "record", 60.0)
    finally:
        os.umask(umask)

    assert modes_before_replacing == [0o600]
    assert {mode_of(one) for one in path.parent.iterdir()} == {0o600}
    assert mode_of(path.parent) == 0o700
    release()  # type: ignore[misc]


def test_file_that_others_can_open_is_absent(file_cache: FileTokenCache, path: Path) -> None:
    for mode in (0o640, 0o602):
        write_record(path)
        assert file_cache.load(KEY) == "planted"
        path.chmod(mode)
        assert file_cache.load(KEY) is None
        assert_next_store_replaces_it(file_cache, path)
        path.unlink()


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give a file away")
def test_file_of_another_user_is_absent(file_cache: FileTokenCache, path: Path) -> None:
    write_record(path)
    os.chown(path, 65534, -1)
    assert file_cache.load(KEY) is None
    assert_next_store_replaces_it(file_cache, path)


def test_file_system_that_shows_files_as_open_gets_no_token(
    file_cache: FileTokenCache, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As vfat, many network shares and the drives of WSL do."""
    write_record(path)
    before = path.read_bytes()
    fstat = os.fstat

    def show_as_open(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        return os.stat_result((found.st_mode | 0o777, *found[1:]))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", show_as_open)
        assert file_cache.load(KEY) is None
        with pytest.raises(OSError, match="cannot keep a file private"):
            file_cache.store(KEY, "record", 60.0)
    assert path.read_bytes() == before
    assert names(path.parent) == {path.name}


# What else can be at its path


@pytest.mark.parametrize("target_exists", [True, False])
def test_link_is_neither_read_nor_written_through(
    target_exists: bool, file_cache: FileTokenCache, path: Path
) -> None:
    target = path.with_name("target.json")
    if target_exists:
        write_record(target)
    path.symlink_to(target)
    assert file_cache.load(KEY) is None
    assert_next_store_replaces_it(file_cache, path)
    assert target.exists() is target_exists
    assert not target_exists or "planted" in target.read_text()


@pytest.mark.timeout(20)
def test_pipe_is_neither_waited_for_nor_read(file_cache: FileTokenCache, path: Path) -> None:
    os.mkfifo(path, 0o600)
    assert file_cache.load(KEY) is None
    writer = os.open(path, os.O_RDWR)
    os.write(writer, json.dumps({KEY: ["planted", time.time() + 60]}).encode())
    assert file_cache.load(KEY) is None
    os.close(writer)
    assert_next_store_replaces_it(file_cache, path)


@pytest.mark.parametrize("place", ["folder", "file/tokens.json", "x" * 300, "a\0b"])
def test_path_that_cannot_be_a_file_is_absent_and_an_error_to_store(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("precious")
    cache = FileTokenCache(tmp_path / place)
    assert cache.load(KEY) is None
    with pytest.raises((OSError, ValueError)):
        cache.store(KEY, "record", 60.0)
    assert names(tmp_path) == {"folder", "file"}
    assert (tmp_path / "file").read_text() == "precious"


CORRUPT: dict[str, bytes] = {
    "cut off": b'{"' + KEY.encode() + b'": ["record", 18000',
    "a list": b"[1, 2]",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "a time that is null": json.dumps({KEY: ["record", None]}).encode(),
    "a time of too many digits": b'{"%b": ["record", 1%b]}' % (KEY.encode(), b"0" * 5000),
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT)
def test_corrupt_file_is_absent_and_replaced(content: bytes, file_cache: FileTokenCache, path: Path) -> None:
    path.touch(0o600)
    path.write_bytes(content)
    assert file_cache.load(KEY) is None
    assert_next_store_replaces_it(file_cache, path)


def test_expired_record_is_absent_and_dropped_by_the_next_store(
    file_cache: FileTokenCache, path: Path
) -> None:
    file_cache.store("expired", "record", 0.0)
    assert file_cache.load("expired") is None
    file_cache.store("another", "record", 60.0)
    file_cache.store("good", "record", 60.0)
    assert list(json.loads(path.read_bytes())) == ["another", "good"]


# A store replaces the file as a whole

STOPS_BEFORE_REPLACING = """
def replace(source, target):
    print(source, flush=True)
    sys.stdin.readline()
os.replace = replace
cache.store(KEY, "after", 60.0)
"""


def test_process_killed_while_it_stores_leaves_the_old_file(file_cache: FileTokenCache, path: Path) -> None:
    file_cache.store(KEY, "before", 60.0)
    with another(path, STOPS_BEFORE_REPLACING) as other:
        temporary = Path(other.read_line())
        started = time.monotonic()
        with pytest.raises(OSError):  # it holds the file
            file_cache.store(OTHER, "another", 60.0)
        assert time.monotonic() - started < 4
        other.kill()
    assert mode_of(temporary) == 0o600
    assert file_cache.load(KEY) == "before"
    file_cache.store(OTHER, "another", 60.0)
    assert (file_cache.load(KEY), file_cache.load(OTHER)) == ("before", "another")
    assert names(path.parent) == {path.name}


def test_link_planted_where_a_store_writes_is_removed(file_cache: FileTokenCache, path: Path) -> None:
    target = path.with_name("target")
    target.write_text("precious")
    path.with_name(f".{path.name}.new").symlink_to(target)
    assert_next_store_replaces_it(file_cache, path)
    assert target.read_text() == "precious"
    assert names(path.parent) == {"target", path.name}


def test_full_disk_leaves_the_old_file_and_nothing_else(file_cache: FileTokenCache, path: Path) -> None:
    file_cache.store(KEY, "before", 60.0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            file_cache.store(KEY, "after", 60.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert file_cache.load(KEY) == "before"
    assert names(path.parent) == {path.name}


@pytest.mark.parametrize(("failures", "stored"), [(3, "after"), (9, "before")])
def test_file_that_windows_holds_for_a_moment_is_replaced_after_it(
    failures: int, stored: str, file_cache: FileTokenCache, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_cache.store(KEY, "before", 60.0)
    replace, left = os.replace, [PermissionError("Access is denied")] * failures

    def fail_at_first(source: Any, target: Any) -> None:
        if left:
            raise left.pop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_at_first)
    with nullcontext() if stored == "after" else pytest.raises(PermissionError):
        file_cache.store(KEY, "after", 60.0)
    assert file_cache.load(KEY) == stored
    assert names(path.parent) == {path.name}


# Where it is


def test_tilde_is_the_home_directory(tmp_path: Path) -> None:
    FileTokenCache("~/somewhere/tokens.json").store(KEY, "record", 60.0)
    assert FileTokenCache(tmp_path / "somewhere" / "tokens.json").load(KEY) == "record"


def test_relative_path_survives_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = FileTokenCache("tokens.json")
    cache.store(KEY, "record", 60.0)
    monkeypatch.chdir("/")
    assert cache.load(KEY) == "record"
    assert pickle.loads(pickle.dumps(cache)).load(KEY) == "record"


@pytest.mark.skipif(sys.platform != "linux", reason="where caches are on Linux")
def test_default_is_in_the_users_cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    cache = FileTokenCache()
    assert cache.load(KEY) is None
    assert not (tmp_path / "here").exists()  # nothing is made before it is needed
    cache.store(KEY, "record", 60.0)
    path = tmp_path / "here" / "thebase_auth" / "tokens.json"
    assert FileTokenCache(path).load(KEY) == "record"
    assert repr(cache) == f"FileTokenCache({str(path)!r})"


def test_empty_path_is_an_error() -> None:
    with pytest.raises(
        ValueError, match="^path is empty; leave it out for a file in the user's cache directory$"
    ):
        FileTokenCache("")
