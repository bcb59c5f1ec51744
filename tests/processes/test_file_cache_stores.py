"""A store into FileTokenCache replaces the file as a whole, whoever stores, reads or is killed meanwhile."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from tests.support.caches import KEY, OTHER, mode_of, posix, processes
from thebase_auth.caches import FileTokenCache


def temporary(path: Path) -> Path:
    """Where a store writes before it replaces the file."""
    return path.with_name(f".{path.name}.new")


# Other processes

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


# What a store leaves behind


def files_beside(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir() if one.suffix != ".lock")


def test_a_store_leaves_nothing_but_the_file(file_cache: FileTokenCache, path: Path) -> None:
    for number in range(3):
        file_cache.store(KEY, f"record {number}", 60.0)

    assert files_beside(path) == [path.name]


def test_a_store_that_cannot_replace_the_file_leaves_nothing(file_cache: FileTokenCache, path: Path) -> None:
    path.mkdir()
    for _ in range(3):
        with pytest.raises(OSError):
            file_cache.store(KEY, "record", 60.0)

    assert files_beside(path) == [path.name]


def test_what_a_store_that_was_killed_leaves_behind_is_its_owners_and_goes_with_the_next(
    file_cache: FileTokenCache, path: Path
) -> None:
    for _ in range(2):
        with processes(path, STOPS_BEFORE_REPLACING) as [other]:
            assert other.hear() == "about to replace"
            other.process.kill()
            other.process.wait(10)
        assert files_beside(path) == [temporary(path).name]
        assert os.name != "posix" or mode_of(temporary(path)) == 0o600
    file_cache.store(OTHER, "another", 60.0)

    assert files_beside(path) == [path.name]
    assert (file_cache.load(KEY), file_cache.load(OTHER)) == (None, "another")


def somebody_elses(place: Path, target: Path) -> None:
    shutil.copy(target, place)
    if os.geteuid() == 0:
        os.chown(place, 65534, -1)


PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "a link": lambda place, target: place.symlink_to(target),
    "a link to nothing": lambda place, target: place.symlink_to(target.with_name("nothing")),
    "a hard link": lambda place, target: place.hardlink_to(target),
    "a pipe": lambda place, target: os.mkfifo(place),
    "a file open to others": lambda place, target: shutil.copy(target, place),
    "a file of somebody else": somebody_elses,
}


@posix
@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_lies_where_a_store_writes_is_removed_and_not_written_through(
    plant: Callable[[Path, Path], object], file_cache: FileTokenCache, path: Path
) -> None:
    target = path.with_name("target")
    target.write_text("precious")
    plant(temporary(path), target)
    file_cache.store(KEY, "record", 60.0)

    assert file_cache.load(KEY) == "record"
    assert mode_of(path) == 0o600
    assert target.read_text() == "precious"
    assert files_beside(path) == ["target", path.name]


def test_a_directory_where_a_store_writes_is_an_error_and_stays(
    file_cache: FileTokenCache, path: Path
) -> None:
    file_cache.store(KEY, "before", 60.0)
    temporary(path).mkdir()
    with pytest.raises(OSError):
        file_cache.store(KEY, "after", 60.0)

    assert file_cache.load(KEY) == "before"
    assert temporary(path).is_dir()


@posix
def test_what_is_planted_after_the_last_look_is_not_written_through(
    file_cache: FileTokenCache, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = path.with_name("target")
    target.write_text("precious")
    unlink = Path.unlink

    def unlink_and_plant(place: Path, *args: bool) -> None:
        monkeypatch.undo()
        place.symlink_to(target)

    monkeypatch.setattr(Path, "unlink", unlink_and_plant)
    with pytest.raises(FileExistsError):
        file_cache.store(KEY, "record", 60.0)

    assert Path.unlink is unlink
    assert target.read_text() == "precious"
    assert file_cache.load(KEY) is None


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_a_file_that_windows_does_not_let_go_for_a_moment_is_replaced_after_it(
    refusals: int, file_cache: FileTokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_replace = Path.replace
    refused: list[Path] = []

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
    assert not temporary(path).exists()
