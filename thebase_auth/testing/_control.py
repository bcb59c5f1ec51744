# The control interface of `thebase-auth sandbox`: the levers and the record, for users of any language.
#
# Here: JSON over HTTP under /_sandbox/, a path that no TheBase has, on the port of the sandbox; who may use
# it; and serving the page. Nothing of it is in the record. Not here: the levers (_levers), and the page
# (_page.html).

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from ._access import SETTINGS, SandboxClient
from ._asgi import ASGIApp, asgi_app
from ._fields import read_fields
from ._levers import BUTTONS, pull
from ._messages import JSON, TOKEN_PATH, Problem, Request, Response, json_response
from ._record import ReceivedRequest, calls_in
from ._sandbox import Sandbox

CONTROL_PATH: Final = "/_sandbox/"

_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}
_LONGEST_BODY: Final = 10_000  # characters: the page asks for a hundred of them a second
_MOST_KEPT: Final = 10_000  # requests
_HIDDEN: Final = {"authorization", "cookie", "proxy-authorization"}
_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


def with_control(sandbox: Sandbox, told: Callable[[str], object]) -> ASGIApp:
    """The sandbox as an ASGI application, and beside it the control interface.

    It runs for days, so no more than the last requests are kept.

    Only programs on this machine and the page itself may use it. A page of another site, open in a browser on
    this machine, may not: its `Origin` is another; a browser sends JSON to other sites only if they agree,
    which this does not; and a name of another site that leads here (DNS rebinding) is another `Host`.

    Args:
        sandbox: The sandbox.
        told: Called with a line about each lever that is pulled.
    """
    sandbox._service.keep(_MOST_KEPT, _LONGEST_BODY)

    async def exchange(request: Request) -> Response | None:
        if request.broken is not None or not f"{request.path}/".startswith(CONTROL_PATH):
            return await sandbox._service.exchange(request)
        try:
            response = _response(sandbox, request, told)
        except Problem as problem:
            response = json_response({"error": problem.message}, problem.status, JSON, *problem.headers)
        except LookupError as error:
            response = json_response({"error": error.args[0]}, 404)
        except ValueError as error:
            response = json_response({"error": str(error)}, 400)
        return response._replace(headers=response.headers + _HEADERS).to_send(request.method)

    return asgi_app(exchange)


def _response(sandbox: Sandbox, request: Request, told: Callable[[str], object]) -> Response:
    _check_sender(request)
    name = request.path[len(CONTROL_PATH) :]
    if name in ("", "status", "received"):
        if request.method not in ("GET", "HEAD"):
            raise Problem(405, "the method must be GET", Allow="GET, HEAD")
        if not name:
            return _page()
        return json_response(_status(sandbox) if name == "status" else _received(sandbox, request.query))
    if request.method != "POST":
        raise Problem(405, "the method must be POST", Allow="POST")
    if request.media_type != JSON:
        raise Problem(415, f"Content-Type must be {JSON}")
    told(pull(sandbox, name, read_fields(request, ()) if request.body else {}))
    return json_response(_status(sandbox))


def _check_sender(request: Request) -> None:
    if urlsplit(f"//{request.headers.get('host', '')}").hostname not in _LOOPBACK:
        raise Problem(403, "the host must be 127.0.0.1 or localhost")
    if request.headers.get("origin", request.root) != request.root:
        raise Problem(403, "pages of other sites may not use this")


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
            "buttons": [button._asdict() for button in BUTTONS],
        }


def _received(sandbox: Sandbox, query: str) -> dict[str, Any]:
    wanted = {name: values[-1] for name, values in parse_qs(query, strict_parsing=bool(query)).items()}
    received = calls_in(sandbox.received, wanted.pop("call", "*"))
    last = wanted.pop("last", None)
    if last is not None and not (last.isascii() and last.isdecimal() and 0 < int(last) < 10**6):
        raise ValueError(f"last must be a number of requests, not {last!r}")
    if wanted:
        raise ValueError(f"{', '.join(wanted)} cannot be asked for; call and last can")
    return {"count": len(received), "received": [_entry(one) for one in received[-int(last or 0) :]]}


def _entry(received: ReceivedRequest) -> dict[str, Any]:
    """A request as JSON, without what may be a secret or a token."""
    of_token = received.path.partition("?")[0] == TOKEN_PATH
    return {
        "method": received.method,
        "path": TOKEN_PATH if of_token else received.path,
        "status": received.status,
        "reason": received.reason,
        "reason_he": getattr(received.reason, "he", received.reason),
        "client_id": received.client_id,
        "at": received.at,
        "headers": {name: value for name, value in received.headers.items() if name not in _HIDDEN},
        "body": None if of_token else received.body.decode(errors="replace")[:_LONGEST_BODY],
    }


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
