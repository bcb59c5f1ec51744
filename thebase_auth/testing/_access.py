# Clients, their secrets and permissions, the tokens issued to them, and the token endpoint, according to the
# vendor's page on authentication and RFC 6749 section 4.4.

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from ._crm import crm_calls
from ._fields import parameters
from ._messages import CallPattern, Problem, Reason, Request, Response, json_response
from ._routing import check_known

_FORM: Final = "application/x-www-form-urlencoded"
_CHALLENGE: Final = 'Bearer realm="Oracle REST Data Services", error="invalid_token"'
_REVOKED: Final = Reason("revoked token", "הטוקן בוטל")


class SandboxClient:
    """A client of the sandbox: an id, its secret, and its permissions.

    Args:
        client_id: The client id; by default, a new one in the vendor's form.
        client_secret: Its secret; by default, a new one.
        refused: The calls under `/v2` for which this client lacks permission, such as
            `"DELETE /v2/products/*"`. They get a 401.

    Attributes:
        client_id: As given; may be changed at any time.
        client_secret: As given; may be changed at any time. Tokens issued before stay valid.

    Raises:
        ValueError: if one of *refused* is not a call, or means none of the sandbox's calls.
    """

    def __init__(
        self, client_id: str | None = None, client_secret: str | None = None, *, refused: Iterable[str] = ()
    ) -> None:
        self.client_id: str = _new_credential() if client_id is None else client_id
        self.client_secret: str = _new_credential() if client_secret is None else client_secret
        self._refused: dict[str, CallPattern] = {}
        for call in refused:
            self.refuse(call)
        self._as_made = (self.client_id, self.client_secret, self._refused)

    def _reset(self) -> None:
        self.client_id, self.client_secret, self._refused = self._as_made

    def __repr__(self) -> str:
        return f"SandboxClient({self.client_id!r}, refused={sorted(self._refused)})"

    def refuse(self, call: str) -> None:
        """Take away permission for a call: from now on the server rejects it with a 401.

        Args:
            call: The call, such as `"POST /v2/sms/*"`.

        Raises:
            ValueError: if *call* is not a call, or means none of the sandbox's calls under `/v2`.
        """
        check_known(call, crm_calls())
        self._refused = {**self._refused, call: CallPattern(call)}

    def allow(self, call: str) -> None:
        """Give back permission for a call.

        Args:
            call: The call, exactly as it was refused.

        Raises:
            ValueError: if it was not refused.
        """
        if call not in self._refused:
            raise ValueError(f"{call!r} is not refused; refused are {sorted(self._refused)}")
        self._refused = {key: value for key, value in self._refused.items() if key != call}

    def may(self, method: str, path: str) -> bool:
        """Whether this client has permission for a call."""
        return not any(pattern.matches(method, path) for pattern in self._refused.values())


class _Issued(NamedTuple):
    """To whom a token was issued and when, and why it was revoked, if it was."""

    client: SandboxClient
    at: float
    revoked: str = ""


SETTINGS: Final = ("expires_in", "token_lifetime", "single_token")


class Settings(Protocol):
    """The clients and what their tokens are like, which a test may change at any time."""

    clients: list[SandboxClient]
    expires_in: object
    token_lifetime: float
    single_token: bool


class Access:
    """The clients and their tokens. Not thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._issued: dict[str, _Issued] = {}

    def response(self, request: Request) -> Response:
        """The response of the token endpoint.

        Raises:
            Problem: if the method is wrong (405), or the credentials are (401).
        """
        if request.method != "POST":
            raise Problem(
                405,
                reason=Reason("the method must be POST", "המתודה צריכה להיות \u2066POST\u2069"),
                Allow="POST",
            )
        client = self.client_by_secret(request)
        # Credentials in the body, which RFC 6749 2.3.1 leaves optional, are not accepted.
        if client is None:
            raise Problem(401, reason=self._why_unknown(request))
        if request.media_type != _FORM:
            return _oauth_error("invalid_request", f"Content-Type must be {_FORM}")
        grant_type = parameters(request.body.decode("latin-1")).get("grant_type")
        if grant_type is None:
            return _oauth_error("invalid_request", "no grant_type")
        if grant_type != "client_credentials":
            return _oauth_error("unsupported_grant_type", "grant_type must be client_credentials")
        token = self._issue(client)
        expires_in = self._settings.expires_in
        return json_response({"access_token": token, "token_type": "bearer", "expires_in": expires_in})

    def check(self, request: Request) -> None:
        """Check that a call carries a live token of a client with permission for it.

        Raises:
            Problem: if it does not (401).
        """
        client = self.client_by_token(request)
        if client is None:
            why = self._why_rejected(request)
        elif client.may(request.method, request.path):
            return
        else:
            # ORDS responds with 401, not 403. Nobody knows whether a TheBase has another header for it.
            why = Reason("the client lacks permission for this call", "אין הרשאה לקריאה הזאת")
        raise Problem(401, reason=why, WWW_Authenticate=_CHALLENGE)

    def client_by_secret(self, request: Request) -> SandboxClient | None:
        """The client whose id and secret a request carries."""
        given = request.credentials("basic")
        for client in self._settings.clients:
            pair = f"{client.client_id}:{client.client_secret}".encode()
            if given == base64.b64encode(pair).decode():
                return client
        return None

    def client_by_token(self, request: Request) -> SandboxClient | None:
        """The client whose live token a request carries."""
        return None if self._why_rejected(request) else self._issued[request.credentials("bearer")].client

    def revoke(self, client: SandboxClient | None = None, why: str = _REVOKED) -> None:
        """Revoke the tokens of a client, or of all."""
        for token, one in self._issued.items():
            if client in (None, one.client) and not one.revoked:
                self._issued[token] = one._replace(revoked=why)

    def _issue(self, client: SandboxClient) -> str:
        if self._settings.single_token:
            self.revoke(client, Reason("revoked by a newer token", "הטוקן בוטל כשהונפק טוקן חדש"))
        token = secrets.token_urlsafe(16)
        self._issued[token] = _Issued(client, time.monotonic())
        return token

    def _why_rejected(self, request: Request) -> str:
        """Why the token of a call is rejected, or nothing if it is live."""
        token = request.credentials("bearer")
        if not token:
            return Reason("no token", "בלי טוקן")
        if (issued := self._issued.get(token)) is None:
            return Reason("unknown token", "טוקן לא מוכר")
        past = time.monotonic() >= issued.at + self._settings.token_lifetime
        return issued.revoked or (Reason("expired token", "תוקף הטוקן פג") if past else "")

    def _why_unknown(self, request: Request) -> str:
        """Why a token request is of no client."""
        try:
            client_id = base64.b64decode(request.credentials("basic")).decode().partition(":")[0]
        except ValueError:
            client_id = ""
        if not client_id:
            return Reason(
                "no client id and secret in Authorization", "אין פרטי גישה ב־\u2066Authorization\u2069"
            )
        if any(client.client_id == client_id for client in self._settings.clients):
            return Reason("wrong client secret", "ה־\u2066Client Secret\u2069 שגוי")
        return Reason("unknown client id", "ה־\u2066Client ID\u2069 לא מוכר")


def _new_credential() -> str:
    """An id or a secret in the vendor's form: base64url of 16 bytes, and two dots."""
    return secrets.token_urlsafe(16) + ".."


def _oauth_error(error: str, reason: str) -> Response:
    return json_response({"error": error}, 400)._replace(reason=reason)
