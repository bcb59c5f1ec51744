"""Errors are a small tree, and travel between processes with all that they know."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests

import thebase_auth
import thebase_auth.aiohttp
import thebase_auth.httpx
import thebase_auth.httpx2
import thebase_auth.requests
from thebase_auth._core import errors
from thebase_auth._core.errors import TheBaseAuthError, as_library_error

MESSAGE, DOMAIN = "the token endpoint responded with 401", "acme.thebase.co.il"
REJECTION: dict[str, Any] = {  # what a TokenRequestError knows, in the order of its constructor
    "status": 401,
    "error": "invalid_client",
    "error_description": "no such client",
    "code": "Unauthorized",
    "message": "אין הרשאה",
    "instance": "tag:oracle.com,2020:ecid/w4UbuYdZgYcyPtP86tRUrg",
    "retry_after": 0.5,
}
NAMES = ["PlainHTTPError", "TokenRequestError", "TokenTimeoutError"]
# The module of ours, and the library's exceptions: any, and that of a connection that timed out.
LIBRARIES: dict[str, tuple[Any, Any, set[Any]]] = {
    "requests": (
        thebase_auth.requests,
        requests.RequestException,
        {requests.ConnectTimeout, requests.ConnectionError},
    ),
    "httpx": (thebase_auth.httpx, httpx.RequestError, {httpx.ConnectTimeout, httpx.ConnectError}),
    "httpx2": (thebase_auth.httpx2, httpx2.RequestError, {httpx2.ConnectTimeout, httpx2.ConnectError}),
    "aiohttp": (thebase_auth.aiohttp, aiohttp.ClientError, {TimeoutError, aiohttp.ClientConnectionError}),
}
REQUEST = SimpleNamespace(headers={"Authorization": "Bearer canary"})
each_name = pytest.mark.parametrize("name", NAMES)
each_library = pytest.mark.parametrize("library", LIBRARIES)


def what_is_known(name: str) -> dict[str, Any]:
    return {"domain": DOMAIN} | (REJECTION if name == "TokenRequestError" else {})


def converted(library: str, name: str) -> Any:
    kinds = tuple(getattr(LIBRARIES[library][0], one) for one in NAMES)
    return as_library_error(getattr(errors, name)(MESSAGE, **what_is_known(name)), kinds, REQUEST)


@each_library
@each_name
def test_error_is_ours_and_the_librarys_and_travels_without_its_request(library: str, name: str) -> None:
    module, kind, _ = LIBRARIES[library]
    with pytest.raises(TheBaseAuthError) as caught:
        raise converted(library, name)
    pickled = pickle.dumps(caught.value)

    assert type(caught.value) is getattr(module, name)
    assert isinstance(caught.value, getattr(thebase_auth, name))
    assert isinstance(caught.value, kind)
    assert caught.value.request is REQUEST
    for error in (pickle.loads(pickled), copy.copy(caught.value), type(caught.value)(*caught.value.args)):
        assert type(error) is type(caught.value)
        assert (str(error), error.args) == (MESSAGE, (MESSAGE, *what_is_known(name).values()))
        assert vars(error).items() >= what_is_known(name).items()
        assert error.__traceback__ is None
    assert b"canary" not in pickled


@each_library
def test_giving_up_is_the_librarys_connection_error_and_timeout(library: str) -> None:
    assert {*type(converted(library, "TokenTimeoutError")).__mro__} >= LIBRARIES[library][2]
