"""Errors are a small tree, and travel between processes with all that they know."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import httpx
import httpx2
import pytest
import requests

import thebase_auth
import thebase_auth.httpx
import thebase_auth.httpx2
import thebase_auth.requests
from thebase_auth._core import errors
from thebase_auth._core.errors import TheBaseAuthError, as_library_error

MESSAGE, DOMAIN = "the token endpoint responded with 401", "acme.thebase.co.il"
EVIDENCE: dict[str, Any] = {  # of a TokenRequestError, in the order of its constructor
    "status": 401,
    "error": "invalid_client",
    "error_description": "no such client",
    "code": "Unauthorized",
    "message": "אין הרשאה",
    "instance": "tag:oracle.com,2020:ecid/w4UbuYdZgYcyPtP86tRUrg",
    "retry_after": 0.5,
}
NAMES = ["PlainHTTPError", "TokenRequestError", "TokenTimeoutError"]
LIBRARIES: dict[str, tuple[Any, Any]] = {
    "requests": (thebase_auth.requests, requests),
    "httpx": (thebase_auth.httpx, httpx),
    "httpx2": (thebase_auth.httpx2, httpx2),
}
each_name = pytest.mark.parametrize("name", NAMES)
each_library = pytest.mark.parametrize("library", LIBRARIES)


def evidence_of(name: str) -> dict[str, Any]:
    return {"domain": DOMAIN} | (EVIDENCE if name == "TokenRequestError" else {})


def an_error(name: str) -> TheBaseAuthError:
    error: TheBaseAuthError = getattr(errors, name)(MESSAGE, **evidence_of(name))
    return error


def converted(library: str, name: str) -> Any:
    module, package = LIBRARIES[library]
    kinds = tuple(getattr(module, one) for one in NAMES)
    request = package.Request("GET", f"https://{DOMAIN}/", headers={"Authorization": "Bearer canary"})
    return as_library_error(an_error(name), kinds, request)


@each_name
def test_error_has_its_message_and_evidence_as_plain_values(name: str) -> None:
    error = an_error(name)

    assert str(error) == MESSAGE
    assert error.args == (MESSAGE, *evidence_of(name).values())
    assert vars(error).items() >= evidence_of(name).items()
    assert getattr(thebase_auth, name) is type(error)
    assert type(error).__mro__[1] is TheBaseAuthError


@each_library
@each_name
def test_error_of_a_library_is_ours_and_the_librarys_and_knows_its_request(library: str, name: str) -> None:
    module, package = LIBRARIES[library]
    error = converted(library, name)

    assert type(error) is getattr(module, name)
    assert isinstance(error, getattr(errors, name))
    assert isinstance(error, package.RequestException if library == "requests" else package.RequestError)
    assert error.args == an_error(name).args
    assert isinstance(error.request, package.Request)


@each_library
def test_giving_up_is_the_librarys_connection_error_and_timeout(library: str) -> None:
    error, package = converted(library, "TokenTimeoutError"), LIBRARIES[library][1]

    assert isinstance(error, package.ConnectTimeout)
    assert isinstance(error, package.ConnectionError if library == "requests" else package.ConnectError)


@each_library
@each_name
def test_copies_know_as_much_and_leave_request_and_traceback_behind(library: str, name: str) -> None:
    with pytest.raises(TheBaseAuthError) as caught:
        raise converted(library, name)
    pickled = pickle.dumps(caught.value)

    for error in (pickle.loads(pickled), copy.copy(caught.value), type(caught.value)(*caught.value.args)):
        assert type(error) is type(caught.value)
        assert (str(error), error.args) == (MESSAGE, caught.value.args)
        assert vars(error).items() >= evidence_of(name).items()
        assert error.__traceback__ is None
    assert b"canary" not in pickled
