"""Whatever lies where FileTokenCache keeps its file: links, pipes, directories, other people's files."""

from __future__ import annotations

import json
import os
import shutil
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.caches import KEY, LEASE, is_mended_by_the_next_store, mode_of, posix, record_file
from thebase_auth.caches import FileTokenCache, _file

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

    use = partial(file_cache.store, KEY, "record") if "update" in lock_file else partial(file_cache.lock, KEY)
    with pytest.raises(OSError):
        use(LEASE)
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
def test_what_cannot_be_read_leaves_no_file_open(kind: str, file_cache: FileTokenCache, path: Path) -> None:
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
            path.write_bytes(b" " * (_file._LARGEST_FILE + 1))
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


def test_a_file_in_the_place_of_its_directory_is_absent_and_an_error_to_store_into(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    cache = FileTokenCache(tmp_path / "file" / "tokens.json")

    assert cache.load(KEY) is None
    with pytest.raises(OSError):
        cache.store(KEY, "record", 60.0)
    with pytest.raises(OSError):
        cache.lock(KEY, LEASE)
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_no_file_can_have_is_absent_and_an_error_to_store_into(name: str, tmp_path: Path) -> None:
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
    os.name == "posix" and os.geteuid() != 0, reason="only root can give a file to somebody else"
)
def test_a_file_of_somebody_else_is_absent_and_replaced(file_cache: FileTokenCache, path: Path) -> None:
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
