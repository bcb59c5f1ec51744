"""The sandbox, called by hand: no plugin in between."""

from __future__ import annotations

import re

import httpx

from thebase_auth.testing import Sandbox, SandboxClient

GRANT = {"grant_type": "client_credentials"}
JSON = {"Accept": "application/json"}
LEAD = {"name": "ישראל", "f_name": "ישראלי", "phone": "0501234567"}


def ask_token(
    thebase: Sandbox, client: httpx.Client, who: SandboxClient | None = None
) -> httpx.Response:
    who = thebase.client if who is None else who
    return client.post("/oauth/token", auth=(who.client_id, who.client_secret), data=GRANT)


def bearer(
    thebase: Sandbox, client: httpx.Client, who: SandboxClient | None = None
) -> dict[str, str]:
    return {"Authorization": f"Bearer {ask_token(thebase, client, who).json()['access_token']}"}


def assert_problem(response: httpx.Response, status: int, code: str, message: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert re.fullmatch(r"tag:oracle\.com,2020:ecid/[\w-]{22}", problem.pop("instance"))
    assert problem == {
        "code": code,
        "message": message,
        "type": f"tag:oracle.com,2020:error/{code}",
    }
