"""Settings that are refused show no canary."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clients import CLIENT_ID, CLIENT_SECRET
from tests.support.sweep import BASIC, Watch, leaks, seen_of_error
from thebase_auth import TheBaseAuth
from thebase_auth import httpx as for_httpx
from thebase_auth import httpx2 as for_httpx2
from thebase_auth import requests as for_requests

# Wrong settings. There, the variables of our own frames are swept for the secret where it belongs; what was
# put into another argument by mistake is not repeated in any text.

CLASSES: dict[str, Any] = {
    "all": TheBaseAuth,
    "requests": for_requests.TheBaseAuth,
    "httpx": for_httpx.TheBaseAuth,
    "httpx2": for_httpx2.TheBaseAuth,
}
RIGHT: dict[str, Any] = {
    "domain": "acme.thebase.co.il", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
}  # fmt: skip
WRONG_SETTINGS: list[dict[str, Any]] = [
    {"domain": CLIENT_SECRET},
    {"domain": f"{CLIENT_SECRET}/"},
    {"domain": f"https://{CLIENT_ID}:{CLIENT_SECRET}@acme.thebase.co.il"},
    {"domain": f"http://{CLIENT_SECRET}"},
    {"domain": [CLIENT_SECRET]},
    {"domain": ""},
    {"client_id": f"{CLIENT_ID}:{CLIENT_SECRET}"},
    {"client_id": CLIENT_SECRET + "\n"},
    {"client_id": None},
    {"client_secret": f"{CLIENT_SECRET}\n"},
    {"client_secret": f"\N{NO-BREAK SPACE}{CLIENT_SECRET}"},
    {"client_secret": f"{CLIENT_SECRET}\u200f."},
    {"client_secret": f"\ud800{CLIENT_SECRET}"},
    {"client_secret": ""},
    {"timeout": 0},
    {"timeout": CLIENT_SECRET},
    {"timeout": float("nan")},
    {"cache": CLIENT_SECRET},
    {"cache": dict},
    {"cache": {CLIENT_SECRET: BASIC}},
    {"retries": 3},
]


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("wrong", WRONG_SETTINGS, ids=lambda wrong: next(iter(wrong)))
def test_a_wrong_setting_shows_no_canary(kind: str, wrong: dict[str, Any]) -> None:
    watch = Watch()
    with watch.watching(), pytest.raises((ValueError, TypeError)) as caught:
        CLASSES[kind](**(RIGHT | wrong))
    misplaced = (
        any(name not in ("client_secret", "retries", "timeout") for name in wrong)
        or wrong.get("timeout") == CLIENT_SECRET
    )
    seen = [*seen_of_error(caught.value), *watch.seen()]
    assert any(place == "a variable of ours" for place, _ in seen) or "retries" in wrong
    assert leaks(one for one in seen if not (misplaced and one[0] == "a variable of ours")) == []


def test_settings_from_the_environment_show_no_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEBASE_DOMAIN", "acme.thebase.co.il")
    monkeypatch.setenv("THEBASE_CLIENT_ID", CLIENT_ID)
    for secret in (None, "", f"{CLIENT_SECRET}\n", f"{CLIENT_SECRET}\u200f."):
        if secret is not None:
            monkeypatch.setenv("THEBASE_CLIENT_SECRET", secret)
        for kind in CLASSES.values():
            with pytest.raises(ValueError) as caught:
                kind.from_env()
            assert leaks(seen_of_error(caught.value)) == []
