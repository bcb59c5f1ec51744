# Keeps secrets out of the cassettes of vcrpy and pytest-recording. Each token becomes `token-1`, `token-2`
# and so on, so that a replay can tell a renewed token from the one before it.

from __future__ import annotations

import base64
import importlib
import io
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from ._messages import JSON, TOKEN_PATH

_FORM: Final = b"grant_type=client_credentials"
_SHORTEST: Final = 12  # characters; what is shorter may stand in a body by chance
_TOKEN_NAME: Final = re.compile(r"token-\d+")
_ENCODED_LETTER: Final = re.compile(r"%(3\d|[46][1-9a-f]|[57][\da])", re.IGNORECASE)  # or digit

# Other fields of a token response may be secrets, too.
_FIELDS: Final = ("token_type", "expires_in")


def vcr_filters() -> dict[str, Any]:
    """Options for vcrpy, also for `vcr_config` of pytest-recording, that keep secrets out of cassettes.

        recorder = vcr.VCR(**vcr_filters(), cassette_library_dir="tests/cassettes")

    `Authorization` is not stored, nor the query and the form of a token request, nor anything of a token
    response but its type, its `expires_in` and a made-up token. Elsewhere, tokens and the secret are replaced
    if they have at least 12 characters. Your program sends and receives the real ones while it records.
    Compressed bodies are stored decompressed, so that cassettes can be read and be JSON.

    Returns:
        `before_record_request` and `before_record_response`. If you have hooks of your own, give vcrpy a list
        of both.
    """
    masks = _Masks()

    def mask_request(request: Any) -> Any:
        uri = _ENCODED_LETTER.sub(lambda code: chr(int(code[1], 16)), request.uri)
        headers, body = request.headers, _in_one_piece(request.body)
        for secret in _secrets(_value(headers, "authorization")):
            masks.hide(secret)
        if urlsplit(uri).path == TOKEN_PATH:
            uri, body = uri.partition("?")[0], _FORM
        body = masks.put_on(_decompressed(body, headers))
        return type(request)(request.method, masks.put_on(uri), body, masks.put_on(_kept(headers)))

    def mask_response(response: Any) -> Any:
        body = response["body"].get("string", b"")
        readable = _decompressed(body, response["headers"])
        token_response = _token_response(readable, masks.name_token)
        if token_response is not None:
            return {**response, "headers": {"Content-Type": [JSON]}, "body": {"string": token_response}}
        masked = masks.put_on({**response, "body": {"string": readable}})
        if masked["body"]["string"] != body:
            masked["headers"] = _kept(masked["headers"])
        return masked

    return {"before_record_request": mask_request, "before_record_response": mask_response}


class _Masks:
    """What is stored in place of secrets and tokens."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._free = map("token-{}".format, itertools.count(1))
        self._patterns: list[tuple[re.Pattern[bytes], bytes]] = []

    def name_token(self, token: str) -> str:
        """Return what is stored for a token: the same, if it comes from a cassette."""
        if _TOKEN_NAME.fullmatch(token):
            return self._name(token, token)
        return self._name(token, next(name for name in self._free if name not in self._names.values()))

    def hide(self, secret: str) -> None:
        """Hide a secret from now on, unless it is a token with a name."""
        if len(secret) >= _SHORTEST:
            self._name(secret, "hidden")

    def put_on(self, value: Any) -> Any:
        """Return *value* with the names in place of the secrets, at any depth."""
        match value:
            case bytes():
                for pattern, name in self._patterns:
                    value = pattern.sub(name, value)
            case str():
                return self.put_on(value.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
            case dict():
                return {self.put_on(key): self.put_on(one) for key, one in value.items()}
            case list() | tuple():
                return [self.put_on(one) for one in value]
        return value

    def _name(self, secret: str, name: str) -> str:
        if secret not in self._names and len(secret) >= _SHORTEST:
            self._patterns.append((_pattern(secret), name.encode()))
        return self._names.setdefault(secret, name)


def _pattern(secret: str) -> re.Pattern[bytes]:
    """A pattern for a secret: as it is, and where it is part of a text in base64."""
    spellings, content = [secret], secret.encode()
    for before in range(3):  # bytes, modulo 3
        encoded = base64.b64encode(bytes(before) + content).decode()
        # The characters at both ends depend on what stands beside the secret.
        own = encoded[math.ceil(before * 8 / 6) : (before + len(content)) * 8 // 6]
        spellings += [own, own.replace("+", "-").replace("/", "_")]
    return re.compile(b"|".join(b"".join(map(_spelled, one)) for one in spellings))


def _spelled(character: str) -> bytes:
    """A pattern for a character: itself, escaped in JSON, and either percent-encoded once or more often."""
    content = character.encode()
    if content.isalnum():  # never encoded, which keeps long tokens cheap
        return content
    percent = b"".join(b"%%(?:25)*%02x" % byte for byte in content)
    backslash = rb"(?:\\|%(?:25)*5c)"
    return rb"(?i:%s?(?:%s|%s)|%su%04x)" % (backslash, re.escape(content), percent, backslash, ord(character))


def _value(headers: Mapping[str, Any], name: str) -> str:
    """The value of a header field, whose name is in lower case."""
    value = {key.lower(): one for key, one in headers.items()}.get(name, "")
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ", ".join(value)


def _kept(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Header fields without credentials, and without what is true only of the body that was sent."""
    gone = {"authorization", "content-length", "content-encoding", "transfer-encoding"}
    return {name: value for name, value in headers.items() if name.lower() not in gone}


def _secrets(authorization: str) -> list[str]:
    """The credentials of Basic and Bearer, and the secret in those of Basic."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):
            return [credentials, base64.b64decode(credentials).decode().partition(":")[2]]
    return [credentials] if scheme.lower() in {"basic", "bearer"} else []


def _in_one_piece(body: Any) -> Any:
    """A request's body, whole where it is a file or in chunks; vcrpy hands out a copy."""
    if hasattr(body, "read"):
        return body.read()
    if isinstance(body, Iterator | list):
        body = list(body)
        with suppress(TypeError):  # not all of bytes
            return b"".join(body)
    return body


def _decompressed(body: Any, headers: Mapping[str, Any]) -> Any:
    """A body as it was before it was compressed, by whichever library can do it; any other as it is."""
    encoding = {"Content-Encoding": _value(headers, "content-encoding")}
    if encoding["Content-Encoding"] and isinstance(body, bytes):
        for library in ("urllib3", "httpx", "httpx2"):
            with suppress(Exception):  # it is not installed, or the body is decompressed already
                module = importlib.import_module(library)
                if library == "urllib3":
                    readable = module.HTTPResponse(io.BytesIO(body), encoding).data
                else:
                    readable = module.Response(200, headers=encoding, content=body).content
                if readable != body:
                    return readable
    return body


def _token_response(body: Any, name_token: Callable[[str], str]) -> bytes | None:
    """The token response that a body is, with another token and no other secret; None if it is none."""
    try:
        document = json.loads(body)
        token = document["access_token"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    kept = {name: document[name] for name in _FIELDS if name in document}
    name = name_token(token) if isinstance(token, str) and token.isascii() else None
    return json.dumps({**kept, "access_token": name}).encode()
