# Keeps secrets out of the cassettes of vcrpy and pytest-recording. Each token becomes `token-1`, `token-2`
# and so on, so that a replay can tell a renewed token from the one before it.

from __future__ import annotations

import base64
import importlib
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlsplit

from ._messages import JSON, TOKEN_PATH

_FORM: Final = b"grant_type=client_credentials"
_SHORTEST: Final = 12  # characters; what is shorter may stand in a response by chance
_HIDDEN: Final = "hidden"

# Other fields of a token response may be secrets, too.
_FIELDS: Final = ("token_type", "expires_in")


def vcr_filters() -> dict[str, Any]:
    """Options for vcrpy, also for `vcr_config` of pytest-recording, that keep secrets out of cassettes.

        recorder = vcr.VCR(**vcr_filters(), cassette_library_dir="tests/cassettes")

    No request keeps its `Authorization`, a token request neither its query nor its form, and a token response
    nothing but a made-up token, its type and its `expires_in`. Where another response, or a URL, quotes the
    secret or a token, that is replaced. What your program gets while it records stays as it is. Compressed
    responses are stored decompressed, so that cassettes can be read and be JSON.

    Returns:
        `before_record_request`, `before_record_response` and `decode_compressed_response`. If you have hooks
        of your own, give vcrpy a list of both.
    """
    numbers = itertools.count(1)
    masks = _Masks()

    def without_credentials(request: Any) -> Any:
        for authorization in _authorizations(request.headers):
            for secret in _secrets(authorization):
                masks.hide(secret, _HIDDEN)
        request.headers = {
            name: value for name, value in request.headers.items() if name.lower() != "authorization"
        }
        request.uri = masks.put_on(request.uri)
        if _is_of_token_endpoint(request.uri):
            request.uri = request.uri.partition("?")[0]
            request.body = _FORM
        return request

    def without_token(response: Any) -> Any:
        body, headers = response["body"]["string"], response["headers"]
        content = body.encode() if isinstance(body, str) else body
        document = _token_response(content, headers, lambda one: masks.hide(one, f"token-{next(numbers)}"))
        if document is not None:
            return {**response, "headers": {"Content-Type": [JSON]}, "body": {"string": document.encode()}}
        stored = masks.put_on(content.decode("latin-1")).encode("latin-1")
        fields = {
            name: masks.put_on(values) if isinstance(values, str) else [masks.put_on(one) for one in values]
            for name, values in headers.items()
        }
        if (stored, fields) == (content, dict(headers)):
            return response
        return {**response, "headers": _without_length(fields), "body": {"string": stored}}

    return {
        "before_record_request": without_credentials,
        "before_record_response": without_token,
        "decode_compressed_response": True,
    }


class _Masks:
    """What is stored in place of secrets and tokens."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def hide(self, secret: str, name: str) -> str:
        """Replace a secret by a name from now on, unless it has one; return its name."""
        if len(secret) >= _SHORTEST:
            for form in _forms(secret):
                self._names.setdefault(form, name)
        return self._names.get(secret, name)

    def put_on(self, text: str) -> str:
        """Text with the names in place of the secrets."""
        for secret, name in list(self._names.items()):
            text = text.replace(secret, name)
        return text


def _authorizations(headers: Mapping[str, Any]) -> Iterator[str]:
    for name, values in headers.items():
        if name.lower() == "authorization":
            value = values[0] if isinstance(values, list) else values
            yield value.decode("latin-1") if isinstance(value, bytes) else value


def _secrets(authorization: str) -> list[str]:
    """The credentials, and with Basic the secret in them, unless it is short."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return [credentials]
    try:
        pair = base64.b64decode(credentials).decode()
    except ValueError:
        return [credentials]
    secret = pair.partition(":")[2]
    return [credentials, secret] if len(secret) >= _SHORTEST else [credentials]


def _forms(secret: str) -> set[str]:
    """How a secret is written in a header, in JSON, and in a URL."""
    return {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote(secret), quote_plus(secret)}


def _without_length(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Header fields for a body that is another than the one that was sent, and is not compressed."""
    gone = {"content-length", "content-encoding", "transfer-encoding"}
    return {name: value for name, value in headers.items() if name.lower() not in gone}


def _is_of_token_endpoint(url: str) -> bool:
    return urlsplit(url).path == TOKEN_PATH


def _readings(content: bytes, headers: Mapping[str, Any]) -> Iterator[bytes]:
    """A body as it was sent, and decompressed by each library that may have asked for the compression."""
    yield content
    encodings = [value for name, value in headers.items() if name.lower() == "content-encoding"]
    if not encodings:
        return
    given = encodings[0]
    encoding = {"Content-Encoding": given if isinstance(given, str) else ", ".join(given)}
    for library in ("urllib3", "httpx", "httpx2"):
        with suppress(Exception):  # it is not installed, or the body is decompressed already
            module = importlib.import_module(library)
            if library == "urllib3":
                raw = module.HTTPResponse(io.BytesIO(content), encoding, preload_content=False)
                yield raw.read(decode_content=True)
            else:
                yield module.Response(200, headers=encoding, content=content).content


def _token_response(content: bytes, headers: Mapping[str, Any], rename: Callable[[str], str]) -> str | None:
    """The token response that a body is, with another token and no other secret; None if it is none."""
    for reading in _readings(content, headers):
        try:
            document = json.loads(reading)
            token = document["access_token"]
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
        kept = {name: document[name] for name in _FIELDS if name in document}
        return json.dumps({**kept, "access_token": rename(token) if isinstance(token, str) else None})
    return None
