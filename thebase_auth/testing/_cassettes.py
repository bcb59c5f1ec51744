# Cassettes without secrets: what vcrpy, pytest-recording and betamax may write of a recorded test.
#
# Here: their hooks. Each token becomes `token-1`, `token-2` and so on, so that a renewal can be told from the
# token before it when the cassette is played. Not here: mocks without a recording (_mocks).

from __future__ import annotations

import base64
import gzip
import itertools
import json
import zlib
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from ._messages import JSON, TOKEN_PATH

_FORM: Final = b"grant_type=client_credentials"
_GZIP: Final = b"\x1f\x8b"

# Other fields of a token response may be secrets, too.
_FIELDS: Final = ("token_type", "expires_in")


def vcr_filters() -> dict[str, Any]:
    """Options for vcrpy, also for `vcr_config` of pytest-recording, that keep secrets out of cassettes.

        recorder = vcr.VCR(**vcr_filters(), cassette_library_dir="tests/cassettes")

    No request keeps its `Authorization`, a token request neither its query nor its form, and a token response
    nothing but a made-up token, its type and its `expires_in`. What your program gets while it records stays
    as it is. Compressed answers are stored decompressed, so that cassettes can be read and be JSON.

    Returns:
        `before_record_request`, `before_record_response` and `decode_compressed_response`. If you have hooks
        of your own, give vcrpy a list of both.
    """
    numbers = itertools.count(1)

    def without_credentials(request: Any) -> Any:
        request.headers = {
            name: value for name, value in request.headers.items() if name.lower() != "authorization"
        }
        if _is_of_token_endpoint(request.uri):
            request.uri = request.uri.partition("?")[0]
            request.body = _FORM
        return request

    def without_token(response: Any) -> Any:
        document = _token_response(response["body"]["string"], lambda _: f"token-{next(numbers)}")
        if document is None:
            return response
        return {**response, "headers": {"Content-Type": [JSON]}, "body": {"string": document.encode()}}

    return {
        "before_record_request": without_credentials,
        "before_record_response": without_token,
        "decode_compressed_response": True,
    }


def betamax_filter(interaction: Any, cassette: Any) -> None:
    """Keep secrets out of the cassettes of betamax: a callback for its `before_record`.

        betamax.Betamax.configure().before_record(callback=betamax_filter)

    Args:
        interaction: A `betamax.cassette.Interaction`.
        cassette: The `betamax.cassette.Cassette` that it will be stored in.
    """
    from betamax.cassette.cassette import Placeholder  # pyright: ignore[reportMissingImports]

    request, response = interaction.data["request"], interaction.data["response"]

    def hide(secret: str, name: str) -> str:
        # Replaced when the cassette is written: until then, the program gets what is in the interaction.
        if all(secret != placeholder.replace for placeholder in cassette.placeholders):
            for text in {secret, json.dumps(secret)[1:-1]}:  # in a header, and in JSON
                cassette.placeholders.append(Placeholder(placeholder=name, replace=text))
        return secret

    token_name = f"token-{len(cassette.interactions) + 1}"
    for name, values in request["headers"].items():
        if name.lower() == "authorization":
            scheme, _, credentials = values[0].partition(" ")
            hide(credentials, token_name if scheme.lower() == "bearer" else "hidden")
    if _is_of_token_endpoint(request["uri"]):
        request["uri"] = response["url"] = request["uri"].partition("?")[0]
        request["body"] = {"encoding": "utf-8", "string": _FORM.decode()}
    body = response["body"]
    content = base64.b64decode(body["base64_string"]) if "base64_string" in body else body["string"].encode()
    document = _token_response(content, lambda token: hide(token, token_name))
    if document is not None:
        response["headers"] = {"Content-Type": [JSON]}
        response["body"] = {"encoding": "utf-8", "string": document}


def _is_of_token_endpoint(url: str) -> bool:
    return urlsplit(url).path == TOKEN_PATH


def _token_response(body: bytes | str, rename: Callable[[str], str]) -> str | None:
    """The token response that a body is, with another token and no other secret; None if it is none."""
    content = body.encode() if isinstance(body, str) else body
    try:
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
        document = json.loads(content)
        token = document["access_token"]
    except (ValueError, OSError, EOFError, zlib.error, LookupError, TypeError, RecursionError):
        return None
    kept = {name: document[name] for name in _FIELDS if name in document}
    return json.dumps({**kept, "access_token": rename(token) if isinstance(token, str) else None})
