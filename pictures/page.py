# The page of `thebase-auth sandbox` in Chromium, after some requests and levers.

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path
from typing import Any, Final

import requests
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from thebase_auth.testing import Sandbox, SandboxClient
from thebase_auth.testing._control import CONTROL_PATH, with_control

_WIDTH: Final = 1240
_HEIGHT: Final = 820
_PORT: Final = 8080  # as the documentation has it
_LEAD: Final = {"name": "ישראל", "f_name": "ישראלי", "phone": "0501234567"}


def draw(folder: Path) -> None:
    """Draw the page in English and Hebrew.

    Args:
        folder: Where the pictures go.
    """
    sandbox = Sandbox(port=_PORT, error_page_size=1000)
    sandbox.asgi = with_control(sandbox, lambda _: None)
    with sandbox, _chromium() as driver:
        _fill(sandbox)
        for language, name in ("en", "sandbox-page.webp"), ("he", "sandbox-page-he.webp"):
            driver.get("about:blank")
            driver.get(f"{sandbox.domain}{CONTROL_PATH}#{language}")
            WebDriverWait(driver, 20).until(lambda driver: driver.execute_script("return rows.size > 9"))
            # A third of the size of a PNG.
            shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 90})
            (folder / name).write_bytes(base64.b64decode(shot["data"]))
            print(f"drawn: {folder / name}")


def _chromium() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    size = {"width": _WIDTH, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return driver


def _fill(sandbox: Sandbox) -> None:
    with requests.Session() as session:
        session.headers["Accept"] = "application/json"

        def token_of(client: SandboxClient) -> dict[str, str]:
            response = session.post(
                f"{sandbox.domain}/oauth/token",
                auth=(client.client_id, client.client_secret),
                data={"grant_type": "client_credentials"},
                timeout=10,
            )
            return {"Authorization": f"Bearer {response.json()['access_token']}"}

        def call(method: str, path: str, token: dict[str, str], **body: Any) -> None:
            session.request(method, f"{sandbox.domain}/v2/{path}", headers=token, timeout=10, **body)

        token = token_of(sandbox.client)
        call("GET", "users?limit=5", token)
        call("POST", "leads/create", token, json=_LEAD)
        call("GET", "products", token)
        call("POST", "leads/create", token, data=_LEAD)
        sandbox.revoke_tokens()
        call("GET", "users", token)
        call("GET", "users", token_of(sandbox.client))
        limited = token_of(sandbox.limited_client)
        call("DELETE", "products/339829391391230", limited)
        sandbox.answer_next("GET /v2/leads/statuses", 503)
        call("GET", "leads/statuses", limited)
        sandbox.client.refuse("POST /v2/sms/*")
        sandbox.drop_next("POST /v2/leads/create", carried_out=True)
