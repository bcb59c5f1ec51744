"""The sweep for canaries finds a leak wherever one is planted."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import requests

from tests.support.clients import CLIENT_SECRET
from tests.support.sweep import (
    BASIC,
    CANARIES,
    Sight,
    Watch,
    leaks,
    seen_of_error,
    seen_of_files,
    seen_of_object,
    seen_of_request,
    seen_of_response,
)

# The sweep finds a leak wherever one is planted: else it would find nothing for ever.


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def of_ours(source: str) -> BaseException:
    """What *source* raises as if it were in a module of ours."""
    code = compile(source, "/x/thebase_auth/_planted.py", "exec")
    try:
        exec(code, {})
    except Exception as error:
        return error
    raise AssertionError


def with_note(note: str) -> BaseException:
    error = LookupError()
    error.add_note(note)
    return error


def with_attribute(value: object) -> BaseException:
    error = LookupError()
    error.evidence = value  # type: ignore[attr-defined]
    return error


def behind(canary: str, *, explicitly: bool) -> BaseException:
    try:
        try:
            raise LookupError(canary)
        except LookupError as error:
            if explicitly:
                raise ValueError from error
            raise ValueError  # noqa: B904 - a context without a cause
    except ValueError as error:
        return error


class TellsByItsPickleError(Exception):
    def __init__(self, told: str) -> None:
        super().__init__()
        object.__setattr__(self, "told", None)
        self._told = told.encode()

    def __reduce__(self) -> Any:
        return LookupError, (self._told.decode(),)


def a_response(headers: dict[str, str], *, url: str = "https://acme.thebase.co.il/v2/users") -> Any:
    response = requests.Response()
    response.status_code = 200
    response._content = b""
    response.request = requests.Request("GET", url, headers=headers).prepare()
    return response


def after(response: Any) -> Any:
    later = a_response({})
    later.history = [response]
    return later


def ours_with(**members: Any) -> object:
    kind = type("Planted", (), {"__module__": "thebase_auth._planted", **members})
    return kind()


def planted_in_a_log(plant: Callable[[logging.Logger], None]) -> Iterator[Sight]:
    watch = Watch()
    with watch.watching():
        plant(logging.getLogger("anybody.at.all"))
    return watch.seen()


def planted_in_a_warning(canary: str) -> Iterator[Sight]:
    watch = Watch()
    with watch.watching():
        warnings.warn(canary, stacklevel=1)
    return watch.seen()


def planted_in_a_thread(canary: str) -> Iterator[Sight]:
    watch, may_end = Watch(), threading.Event()
    thread = threading.Thread(target=may_end.wait, args=(10,), name=canary)
    with watch.watching():
        thread.start()
        watch.look_at_threads()
        may_end.set()
        thread.join()
    return watch.seen()


def planted_in_a_file(canary: str, folder: Path) -> Iterator[Sight]:
    (folder / "deep").mkdir(exist_ok=True)
    (folder / "deep" / "tokens.json").write_text(canary)
    return seen_of_files(folder)


def raise_and_log(logger: logging.Logger, canary: str) -> None:
    try:
        raise LookupError(canary)
    except LookupError:
        logger.debug("it failed", exc_info=True)


class ShownByStr:
    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __str__(self) -> str:
        return self.canary

    __repr__ = object.__repr__


Planting: TypeAlias = "Callable[[str, Path], Iterable[Sight]]"
PLANTED: dict[str, Planting] = {
    "a log message": lambda canary, _: planted_in_a_log(lambda log: log.debug(canary)),
    "an argument of a log record": lambda canary, _: planted_in_a_log(lambda log: log.debug("%d", 1, extra={"x": canary})),
    "an argument shown by %s": lambda canary, _: planted_in_a_log(lambda log: log.debug("%s", ShownByStr(canary))),
    "an exception in a log": lambda canary, _: planted_in_a_log(lambda log: raise_and_log(log, canary)),
    "a warning": lambda canary, _: planted_in_a_warning(canary),
    "the name of a thread": lambda canary, _: planted_in_a_thread(canary),
    "a file": planted_in_a_file,
    "the text of an exception": lambda canary, _: seen_of_error(raised(LookupError(canary))),
    "an argument of an exception": lambda canary, _: seen_of_error(OSError(1, "text", canary)),
    "an argument that is an object": lambda canary, _: seen_of_error(LookupError("text", ShownByStr(canary))),
    "a note": lambda canary, _: seen_of_error(with_note(canary)),
    "an attribute": lambda canary, _: seen_of_error(with_attribute({"a": [canary]})),
    "the cause": lambda canary, _: seen_of_error(behind(canary, explicitly=True)),
    "the context": lambda canary, _: seen_of_error(behind(canary, explicitly=False)),
    "one of a group": lambda canary, _: seen_of_error(ExceptionGroup("text", [LookupError(canary)])),
    "an exception among the arguments": lambda canary, _: seen_of_error(LookupError(with_note(canary))),
    "a variable of ours": lambda canary, _: seen_of_error(of_ours(f"secret = {canary!r}\nraise LookupError")),
    "the pickle of an exception": lambda canary, _: seen_of_error(TellsByItsPickleError(canary)),
    "a header of the request of an exception": lambda canary, _: seen_of_error(
        requests.ConnectionError(request=a_response({"X-Sent": canary}).request)
    ),
    "a header of a response's request": lambda canary, _: seen_of_response(a_response({"X-Sent": canary})),
    "a header in the history": lambda canary, _: seen_of_response(after(a_response({"X-Sent": canary}))),
    "a header deep in the history": lambda canary, _: seen_of_response(after(after(a_response({"X-Sent": canary})))),
    "the Authorization of a token request": lambda canary, _: seen_of_response(
        a_response({"Authorization": f"Bearer {canary}"}, url="https://acme.thebase.co.il/oauth/token")
    ),
    "a URL": lambda canary, _: seen_of_response(a_response({}, url=f"https://acme.thebase.co.il/{canary}")),
    "the repr of ours": lambda canary, _: seen_of_object(ours_with(__repr__=lambda self: canary)),
    "the str of ours": lambda canary, _: seen_of_object(ours_with(__str__=lambda self: canary)),
    "the format of ours": lambda canary, _: seen_of_object(ours_with(__format__=lambda self, spec: canary)),
    "an attribute of ours": lambda canary, _: seen_of_object(with_member(ours_with(), canary)),
    "an attribute of ours in ours": lambda canary, _: seen_of_object(
        with_member(ours_with(), {"a": [with_member(ours_with(), canary)]})
    ),
    "a slot of ours": lambda canary, _: seen_of_object(with_member(ours_with(__slots__=("member",)), canary)),
}  # fmt: skip


def with_member(thing: Any, member: Any) -> Any:
    thing.member = member
    return thing


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("place", PLANTED)
def test_a_canary_that_is_planted_is_found(place: str, canary: str, tmp_path: Path) -> None:
    found = leaks(PLANTED[place](CANARIES[canary], tmp_path))
    if canary == "a token" and place == "a file":
        assert found == []  # it is there by design
    else:
        assert found
        assert all(one.startswith(f"{canary} in ") for one in found)


@pytest.mark.parametrize("canary", CANARIES)
def test_a_canary_in_the_header_of_a_signed_request_is_found_unless_it_is_a_token(canary: str) -> None:
    authorization = f"Bearer {CANARIES[canary]}"
    seen = [*seen_of_response(after(a_response({"Authorization": authorization})))]
    assert bool(leaks(seen)) == (canary != "a token")


def test_a_canary_in_a_header_of_bytes_is_found() -> None:
    import httpx

    request = httpx.Request("GET", "https://acme.thebase.co.il", headers={"X-Sent": CLIENT_SECRET})
    assert leaks(sight for sight in seen_of_request(request) if isinstance(sight[1], bytes))


def test_a_canary_in_a_variable_of_requests_is_found_where_all_frames_are_swept() -> None:
    code = compile(f"secret = {BASIC!r}\nraise LookupError", "/x/requests/adapters.py", "exec")
    with pytest.raises(LookupError) as caught:
        exec(code, {})
    assert leaks(seen_of_error(caught.value)) == []
    assert leaks(seen_of_error(caught.value, all_frames=True)) == [
        "the Basic value in a variable of requests"
    ]
