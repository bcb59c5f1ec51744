# The control interface of `thebase-auth sandbox`: JSON over HTTP and a page, on the port of the sandbox. What
# is done there is not in the record.

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from ._access import SETTINGS, SandboxClient
from ._asgi import ASGIApp, asgi_app
from ._fields import read_fields, whole_number
from ._levers import pending, pull
from ._messages import JSON, TOKEN_PATH, Problem, Request, Response, json_response
from ._openapi import openapi_document
from ._received import ReceivedRequest, calls_in, path_of
from ._sandbox import Sandbox

CONTROL_PATH: Final = "/_sandbox/"

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_LONGEST_BODY: Final = 10_000  # bytes
_MOST_KEPT: Final = 10_000  # requests
_HIDDEN: Final = {"authorization", "cookie", "proxy-authorization"}
_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


def with_control(sandbox: Sandbox, log: Callable[[str], object]) -> ASGIApp:
    """The sandbox as an ASGI application, and beside it the control interface.

    It runs for days, so no more than the last requests are kept.

    Args:
        sandbox: The sandbox.
        log: Called with a line about each lever that is pulled.
    """
    sandbox._service.keep(_MOST_KEPT, _LONGEST_BODY)

    async def exchange(request: Request) -> Response | None:
        if request.broken is not None or not f"{request.path}/".startswith(CONTROL_PATH):
            return await sandbox._service.exchange(request)
        try:
            _check_sender(sandbox, request)
            response = _response(sandbox, request, log)
        except Problem as problem:
            response = json_response({"error": problem.message}, problem.status, JSON, *problem.headers)
        except ValueError as error:
            response = json_response({"error": str(error)}, 400)
        return response._replace(headers=response.headers + _HEADERS).to_send(request.method)

    return asgi_app(exchange)


def _check_sender(sandbox: Sandbox, request: Request) -> None:
    """Reject what a page of another site sends from a browser that can reach this sandbox.

    A request of such a page has another `Origin`. Where a browser sends none, the page cannot send JSON, and
    cannot read the response. If a name of that site leads here (DNS rebinding), the `Host` is another.
    """
    names = dict.fromkeys((*_LOOPBACK, sandbox._host.lower()))
    if urlsplit(f"//{request.headers.get('host', '')}").hostname not in names:
        raise Problem(
            403, f"the host must be one of {', '.join(names)}; start the sandbox with --host for another"
        )
    if request.headers.get("origin", request.root) != request.root:
        raise Problem(403, "pages of other sites may not use this")


def _response(sandbox: Sandbox, request: Request, log: Callable[[str], object]) -> Response:
    name = request.path[len(CONTROL_PATH) :]
    documents: dict[str, Callable[[], dict[str, Any]]] = {
        "status": lambda: _status(sandbox),
        "received": lambda: _received(sandbox, request.query),
        "openapi.json": openapi_document,
    }
    if name in documents or not name:
        if request.method not in ("GET", "HEAD"):
            raise Problem(405, "the method must be GET", Allow="GET, HEAD")
        return json_response(documents[name]()) if name else _page()
    if request.method != "POST":
        raise Problem(405, "the method must be POST", Allow="POST")
    if request.media_type != JSON:
        raise Problem(415, f"Content-Type must be {JSON}")
    log(pull(sandbox, name, read_fields(request, ()) if request.body else {}))
    return json_response(_status(sandbox))


def _status(sandbox: Sandbox) -> dict[str, Any]:
    def credentials(client: SandboxClient) -> dict[str, str]:
        return {"client_id": client.client_id, "client_secret": client.client_secret}

    with sandbox._service.lock:
        return {
            "domain": sandbox.domain,
            **credentials(sandbox.client),
            "limited_client": credentials(sandbox.limited_client),
            "settings": {name: getattr(sandbox, name) for name in SETTINGS},
            "refused": {client.client_id: sorted(client._refused) for client in sandbox.clients},
            "pending": pending(sandbox),
        }


def _received(sandbox: Sandbox, query: str) -> dict[str, Any]:
    wanted = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    for unknown in wanted.keys() - {"brief", "call", "last", "number"}:
        raise ValueError(f"{unknown} cannot be asked for; brief, call, last and number can")
    received = calls_in(sandbox.received, wanted.pop("call", "*"))
    numbers = {name: whole_number(name, value, least=1) for name, value in wanted.items()}
    if "number" in numbers:
        received = tuple(one for one in received if one.number == numbers["number"])
    entries = [_entry(one, brief="brief" in numbers) for one in received[-numbers.get("last", 0) :]]
    return {"count": len(received), "received": entries}


def _entry(received: ReceivedRequest, *, brief: bool) -> dict[str, Any]:
    """A request as JSON, without what may be a secret or a token."""
    of_token = path_of(received) == TOKEN_PATH
    entry = {
        "method": received.method,
        "path": TOKEN_PATH if of_token else received.path,
        "status": received.status,
        "reason": received.reason,
        "reason_he": getattr(received.reason, "he", received.reason),
        "client_id": received.client_id,
        "at": received.at,
        "number": received.number,
    }
    if not brief:
        entry["headers"] = {name: text for name, text in received.headers.items() if name not in _HIDDEN}
        entry["body"] = None if of_token else received.body.decode(errors="replace")
    return entry


def _page() -> Response:
    page = files("thebase_auth.testing").joinpath("_page.html").read_text("utf-8")
    # Nothing but the page's own style and script may run, and it may speak to its own port only.
    style, script = (_hash(page, tag) for tag in ("style", "script"))
    policy = (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    fields = (("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", policy))
    return Response(200, page.encode(), fields)


def _hash(page: str, tag: str) -> str:
    [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
