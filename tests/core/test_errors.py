"""Errors are a small tree, carry evidence as plain values, and travel between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest
import requests

import thebase_auth
import thebase_auth.httpx
import thebase_auth.httpx2
import thebase_auth.requests
from thebase_auth._core import errors as _errors
from thebase_auth._core.errors import (
    PlainHTTPError,
    ReplayError,
    TheBaseAuthError,
    TokenRequestError,
    TokenTimeoutError,
    bind,
    with_retry_after,
)

TEXT = "the token endpoint of acme.thebase.co.il answered 401 (error: invalid_client)"
DOMAIN = "acme.thebase.co.il"
EVIDENCE: dict[str, Any] = {  # of a TokenRequestError, in the order of its constructor
    "status": 401,
    "error": "invalid_client",
    "error_description": "no such client",
    "code": "Unauthorized",
    "message": "אין הרשאה",
    "instance": "tag:oracle.com,2020:ecid/w4UbuYdZgYcyPtP86tRUrg",
    "retry_after": 0.5,
}
NAMES = ("PlainHTTPError", "ReplayError", "TokenRequestError", "TokenTimeoutError")
KINDS = (PlainHTTPError, ReplayError, TokenRequestError, TokenTimeoutError)
LIBRARIES: dict[str, tuple[Any, Any, type[Exception]]] = {
    "requests": (thebase_auth.requests, requests, requests.RequestException),
    "httpx": (thebase_auth.httpx, httpx, httpx.HTTPError),
    "httpx2": (thebase_auth.httpx2, httpx2, httpx2.HTTPError),
}
BOUND = [
    pytest.param(getattr(module, name), id=f"{library}.{name}")
    for library, (module, _, _) in LIBRARIES.items()
    for name in NAMES
]
ALL = [pytest.param(kind, id=kind.__name__) for kind in (TheBaseAuthError, *KINDS)] + BOUND


def evidence_of(kind: type[TheBaseAuthError]) -> dict[str, Any]:
    return {"domain": DOMAIN} | (EVIDENCE if issubclass(kind, TokenRequestError) else {})


def one(kind: type[TheBaseAuthError]) -> TheBaseAuthError:
    return kind(TEXT, **evidence_of(kind))


def through_pickle(protocol: int) -> Callable[[Any], Any]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


ROUND_TRIPS = [
    pytest.param(lambda error: type(error)(*error.args), id="from its args"),
    pytest.param(copy.copy, id="copy"),
    pytest.param(copy.deepcopy, id="deepcopy"),
    *(
        pytest.param(through_pickle(protocol), id=f"pickle protocol {protocol}")
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ),
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_a_thebase_auth_error(kind: type[Exception]) -> None:
    assert issubclass(kind, TheBaseAuthError)
    assert issubclass(kind, Exception)


def test_one_kind_of_error_is_not_caught_as_another() -> None:
    for kind in KINDS:
        assert kind.__mro__[1] is TheBaseAuthError


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    kinds = [
        name
        for name, kind in vars(_errors).items()
        if inspect.isclass(kind) and issubclass(kind, TheBaseAuthError)
    ]
    lines = (_errors.__doc__ or "").splitlines()
    drawn = {line.strip(" ├└─").partition(" ")[0] for line in lines if "──" in line}

    assert {"TheBaseAuthError", *drawn} == set(kinds)


def test_the_package_exports_the_very_classes_of_the_tree() -> None:
    for name in ("TheBaseAuthError", *NAMES):
        assert getattr(thebase_auth, name) is getattr(_errors, name)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_has_its_text_and_its_evidence_as_plain_values(kind: type[TheBaseAuthError]) -> None:
    error, evidence = one(kind), evidence_of(kind)

    assert str(error) == TEXT
    assert error.args == (TEXT, *evidence.values())
    for name, value in evidence.items():
        assert getattr(error, name) == value
    assert set(vars(error)) - {"request", "response", "_request"} == set(evidence)


def test_what_the_server_did_not_say_is_none() -> None:
    error = TokenRequestError(TEXT, domain=DOMAIN, status=502)

    assert error.args == (TEXT, DOMAIN, 502, None, None, None, None, None, None)
    said = (error.error, error.error_description, error.code, error.message, error.instance)
    assert said == (None,) * 5
    assert error.retry_after is None


@pytest.mark.parametrize("seconds", [None, 0, 12.5])
def test_the_same_error_is_raised_at_another_time_of_the_pause(seconds: float | None) -> None:
    error: Any = one(thebase_auth.requests.TokenRequestError)
    later = with_retry_after(error, seconds)

    assert type(later) is type(error)
    assert later.args == (*error.args[:-1], seconds)
    assert (later.retry_after, later.instance) == (seconds, error.instance)
    assert error.retry_after == 0.5


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
@pytest.mark.parametrize("kind", ALL)
def test_a_copy_of_an_error_is_another_one_with_the_same_text_and_evidence(
    kind: type[TheBaseAuthError], round_trip: Callable[[Any], Any]
) -> None:
    error = one(kind)
    again = round_trip(error)

    assert again is not error
    assert type(again) is kind
    assert str(again) == TEXT
    assert again.args == error.args
    assert {name: getattr(again, name) for name in evidence_of(kind)} == evidence_of(kind)


@pytest.mark.parametrize("kind", ALL)
def test_a_copy_does_not_share_the_traceback_of_an_error_that_was_raised(
    kind: type[TheBaseAuthError],
) -> None:
    with pytest.raises(kind) as caught:
        raise one(kind)

    assert caught.value.__traceback__ is not None
    assert copy.copy(caught.value).__traceback__ is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_bound_error_is_caught_as_ours_and_as_the_librarys(library: str, name: str) -> None:
    module, _, base = LIBRARIES[library]
    error = one(getattr(module, name))

    for caught_as in (base, getattr(_errors, name), TheBaseAuthError):
        with pytest.raises(caught_as) as caught:
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    ("kind", "timeout"),
    [
        (thebase_auth.requests.TokenTimeoutError, requests.Timeout),
        (thebase_auth.httpx.TokenTimeoutError, httpx.TimeoutException),
        (thebase_auth.httpx2.TokenTimeoutError, httpx2.TimeoutException),
    ],
    ids=LIBRARIES,
)
def test_waiting_too_long_is_a_timeout_in_the_library_too(
    kind: type[Exception], timeout: type[Exception]
) -> None:
    assert issubclass(kind, timeout)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("name", NAMES)
def test_a_bound_error_names_its_request_as_the_librarys_own_errors_do(library: str, name: str) -> None:
    module, package, _ = LIBRARIES[library]
    request = package.Request("GET", "https://acme.thebase.co.il/v2/users")
    error = one(getattr(module, name))
    assert isinstance(error, (httpx.RequestError, httpx2.RequestError))
    error.request = request

    assert error.request is request


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_an_error_is_bound_to_the_kind_of_the_library_with_all_that_it_knows(library: str, name: str) -> None:
    module, package, _ = LIBRARIES[library]
    kinds = tuple(getattr(module, other) for other in NAMES)
    request = package.Request("GET", "https://acme.thebase.co.il/v2/users")
    error = one(getattr(_errors, name))

    bound: Any = bind(error, kinds, request)

    assert type(bound) is getattr(module, name)
    assert str(bound) == TEXT
    assert bound.args == error.args
    assert bound.request is request


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_pickled_error_leaves_its_request_behind(library: str, name: str) -> None:
    module, package, _ = LIBRARIES[library]
    request = package.Request(
        "GET", "https://acme.thebase.co.il/v2/users", headers={"Authorization": "canary-4f1c"}
    )
    error: Any = one(getattr(module, name))
    error.request = request

    pickled = pickle.dumps(error)

    assert b"canary" not in pickled
    assert vars(pickle.loads(pickled)).get("request") is None
    assert vars(pickle.loads(pickled)).get("_request") is None


@pytest.mark.parametrize("name", NAMES)
def test_a_core_error_needs_no_library_to_be_unpickled(name: str) -> None:
    pickled = pickle.dumps(one(getattr(_errors, name)))

    assert b"requests" not in pickled
    assert b"httpx" not in pickled
