"""The page of the sandbox, in a real browser; skipped where there is none, or no selenium."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.responses import HTMLResponse

from tests.support.sandbox import LEAD, ask_token, bearer, controlled
from thebase_auth.testing import Sandbox
from thebase_auth.testing._server import serve

pytest.importorskip("selenium", reason="the dependency group browser is not installed")
if not shutil.which("chromedriver"):
    pytest.skip("there is no chromedriver", allow_module_level=True)

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chrome() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en"):
        options.add_argument(argument)
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as driver:
        yield driver


@pytest.fixture
def thebase() -> Iterator[Sandbox]:
    with controlled() as thebase:
        yield thebase


class Page:
    """The page, open in a browser."""

    def __init__(self, driver: webdriver.Chrome, thebase: Sandbox) -> None:
        self.driver = driver
        self.run = driver.execute_script
        self.cdp = driver.execute_cdp_cmd
        self.url = f"{thebase.domain}/_sandbox/"

    def open(self, language: str = "en") -> None:
        self.driver.get("about:blank")  # or nothing but the fragment would change
        self.driver.get(f"{self.url}#{language}")
        self.wait_for(lambda: self.text("#domain"))

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector
        )
        return found

    def rows(self) -> list[list[str]]:
        """The texts of the list, a row without its time, the newest row first."""
        cells = self.texts(".request > tr:first-child > td")
        return [cells[at + 1 : at + 5] for at in range(0, len(cells), 5)]

    def wait_for(self, condition: Callable[[], Any]) -> None:
        WebDriverWait(self.driver, 20, 0.05).until(lambda _: condition())

    def unfold(self, row: int) -> str:
        """Press the button of a row, and give what appears."""
        request = f".request:nth-of-type({row})"
        self.find(f"{request} button").click()
        self.wait_for(lambda: self.text(f"{request} pre"))
        return self.text(f"{request} pre")

    def pull(self, button: int, **arguments: str) -> str:
        """Press the button of a lever, with other arguments than those it shows, and give what it says."""
        form = f"#forms form:nth-of-type({button})"
        for name, value in arguments.items():
            field = self.find(f"{form} input[name={name}]")
            field.clear()
            field.send_keys(value)
        self.run("document.querySelector('#told')?.remove()")
        self.find(f"{form} button").click()
        self.wait_for(lambda: self.texts(f"{form} #told"))
        return self.text(f"{form} #told")

    def resize(self, width: int, scheme: str = "light") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.cdp("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.cdp("Emulation.setEmulatedMedia", {"features": features})


@pytest.fixture
def page(chrome: webdriver.Chrome, thebase: Sandbox) -> Iterator[Page]:
    page = Page(chrome, thebase)
    page.open()
    yield page
    page.cdp("Emulation.clearDeviceMetricsOverride", {})
    page.cdp("Emulation.setEmulatedMedia", {"features": []})
    # Nothing was blocked by the policy of the page, nothing failed in its script.
    assert [entry for entry in chrome.get_log("browser") if entry["source"] != "network"] == []


def test_settings_are_shown_and_copied(page: Page, thebase: Sandbox) -> None:
    grant = {"origin": thebase.domain, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.cdp("Browser.grantPermissions", grant)
    values = [thebase.domain, thebase.client_id, thebase.client_secret]
    names = ["THEBASE_DOMAIN", "THEBASE_CLIENT_ID", "THEBASE_CLIENT_SECRET"]
    lines = [f"{name}={value}" for name, value in zip(names, values, strict=True)]
    assert page.texts("dd code") == values
    for number, expected in enumerate([lines, *([value] for value in values)]):
        button = page.driver.find_elements(By.CSS_SELECTOR, "#settings button")[number]
        name = button.text
        button.click()
        page.wait_for(lambda: button.text == "Copied")
        copied = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
        assert copied.splitlines() == expected
        page.wait_for(lambda: button.text == name == ("Copy" if number else "Copy all for .env"))


def test_requests_appear_with_client_and_reason(page: Page, thebase: Sandbox, client: httpx.Client) -> None:
    assert page.text("#none").startswith("Nothing has been received yet.")
    assert not page.find("#table").is_displayed()
    token = bearer(thebase, client, thebase.limited_client)
    client.post("/v2/leads/create?a=1", json=LEAD, headers=token)
    client.delete("/v2/products/17", headers=token)
    client.get("/v2/products", headers=token)
    client.get("/v2/users")
    page.wait_for(lambda: len(page.rows()) == 5)
    assert page.rows() == [
        ["GET /v2/users", "401", "no token", ""],
        ["GET /v2/products", "404", "no such call; did you mean GET /v2/products/ ?", "limited client"],
        ["DELETE /v2/products/17", "401", "the client lacks permission for this call", "limited client"],
        ["POST /v2/leads/create?a=1", "201", "", "limited client"],
        ["POST /oauth/token", "200", "", "limited client"],
    ]
    assert (page.text("#count"), page.find("#none").is_displayed()) == ("5", False)


def test_of_many_requests_the_latest_are_shown(page: Page, client: httpx.Client) -> None:
    for number in range(102):
        client.get(f"/{number}")
    page.wait_for(lambda: page.text("#count") == "the latest 100 of 102")
    assert (page.rows()[0][0], page.rows()[-1][0], len(page.rows())) == ("GET /101", "GET /2", 100)


def test_row_unfolds_to_headers_and_body_without_secrets(
    page: Page, thebase: Sandbox, client: httpx.Client
) -> None:
    token = bearer(thebase, client)
    client.post("/v2/notes/create", json={"msg": "שלום"}, headers={**token, "Cookie": "a=canary"})
    page.wait_for(lambda: len(page.rows()) == 2)
    shown = page.unfold(1)
    assert shown.startswith("POST /v2/notes/create\nhost: 127.0.0.1:")
    assert shown.endswith('\n\n{"msg":"שלום"}')
    assert page.unfold(2).endswith("\n\n(The body of a token request is not shown.)")
    for secret in ("canary", token["Authorization"], "Basic ", "grant_type"):
        assert secret not in page.driver.page_source
    page.find(".request button").click()
    assert not page.find(".request pre").is_displayed()
    thebase.reset()
    page.wait_for(lambda: not page.rows())


def test_selection_and_unfolded_row_survive_new_requests(
    page: Page, thebase: Sandbox, client: httpx.Client
) -> None:
    client.get("/v2/users")
    page.wait_for(page.rows)
    page.unfold(1)
    page.run("getSelection().selectAllChildren(document.querySelector('.request .path'))")
    with ThreadPoolExecutor(1) as pool, thebase.hold_token_requests():
        pending = pool.submit(ask_token, thebase, client)
        page.wait_for(lambda: [row[1] for row in page.rows()] == ["no response", "401"])
        client.get("/v2/leads/statuses", headers={"Connection": "close"})
        page.wait_for(lambda: len(page.rows()) == 3)
        thebase.drop_next("*")
    assert pending.exception() is not None
    page.wait_for(lambda: page.rows()[1][2] == "dropped by a lever")
    assert [row[0] for row in page.rows()] == ["GET /v2/leads/statuses", "POST /oauth/token", "GET /v2/users"]
    assert page.run("return getSelection().toString()") == "GET /v2/users"
    assert page.find(".request:last-child pre").is_displayed()


def test_long_paths_leave_room_for_the_reason(page: Page, client: httpx.Client) -> None:
    client.get("/v2/" + "a" * 3000)
    for width in (1280, 1000, 600):
        page.resize(width)
        page.wait_for(page.rows)
        path, why = page.find(".request .path").size, page.find(".request .why").size
        assert why["width"] > 90
        assert path["height"] < 80


@pytest.mark.parametrize("text", ["<img src=x onerror=document.title='owned'>", "<script>owned()</script>"])
def test_markup_of_a_request_is_text(page: Page, client: httpx.Client, text: str) -> None:
    client.post(f"/v2/{text}?{text}", content=text, headers={"X-A": text})
    page.wait_for(page.rows)
    assert page.rows()[0][0].startswith(f"POST /v2/{text}?")
    assert page.unfold(1).endswith(f"\n\n{text}")
    page.pull(4, call=text)
    assert page.run("return document.querySelectorAll('img, main script').length") == 0
    assert page.driver.title == "TheBase sandbox"


def test_button_pulls_its_lever_and_the_page_shows_what_is_in_force(
    page: Page, thebase: Sandbox, client: httpx.Client
) -> None:
    start = ["expires_in=3600", "token_lifetime=3600", "single_token=false",
             "refuse DELETE * (limited client)"]  # fmt: skip
    assert page.texts("#force li") == start
    token = bearer(thebase, client)
    assert page.pull(1) == "Done: revoke_tokens"
    assert client.get("/v2/users", headers=token).status_code == 401
    done = page.pull(6, call="GET /v2/users", status="418", times="2")
    assert done == 'Done: answer_next {"call":"GET /v2/users","status":418,"times":2}'
    page.wait_for(lambda: page.texts("#force li") == [*start, "answer_next GET /v2/users status=418 times=2"])
    assert [client.get("/v2/users").status_code for _ in range(3)] == [418, 418, 401]
    page.find("#forms form:nth-of-type(3) input").click()
    assert page.pull(3) == 'Done: settings {"single_token":false}'
    page.wait_for(lambda: page.texts("#force li") == start)
    assert page.pull(10) == "Done: reset"
    page.wait_for(lambda: page.find("#none").is_displayed())


def test_each_button_pulls_its_lever_as_it_is(page: Page) -> None:
    for button in range(1, len(page.texts("#forms form")) + 1):
        assert page.pull(button).startswith("Done: ")


def test_error_is_shown_at_its_button(page: Page) -> None:
    assert page.pull(4, call="users").startswith("'users' is not a call; write a method in capitals")
    assert page.find("#told").get_attribute("class") == "wrong"
    assert page.pull(4, call="*") == 'Done: refuse {"call":"*"}'


def test_language_follows_the_fragment(page: Page) -> None:
    for fragment, language in [("he", "he"), ("en", "en"), ("toString", "en"), ("he", "he"), ("", "en")]:
        page.run("location.hash = arguments[0]", fragment)
        page.wait_for(
            partial(lambda wanted: page.run("return document.documentElement.lang") == wanted, language)
        )
        assert page.run("return document.documentElement.dir") == {"he": "rtl", "en": "ltr"}[language]
    page.find("a[lang=he]").click()
    page.wait_for(lambda: page.driver.title == "שרת TheBase מדומה")
    assert page.text("[aria-current]") == "עברית"


def test_hebrew_page_is_hebrew_and_its_code_left_to_right(page: Page, client: httpx.Client) -> None:
    client.post("/oauth/token")
    client.get("/v2/א")
    page.open("he")
    page.wait_for(lambda: len(page.rows()) == 2)
    assert page.rows()[0] == ["GET /v2/א", "401", "בלי טוקן", ""]
    assert page.pull(1) == "בוצע: revoke_tokens"
    page.find(".more").click()
    texts = page.texts("[data-text], form button, .why, #state")
    assert {text for text in texts if not re.search("[\u0590-\u05ff]", text)} == {
        "Client ID",
        "Client Secret",
    }
    code = "return [...document.querySelectorAll('code, input, label, pre')]"
    assert set(page.run(f"{code}.map(one => getComputedStyle(one).direction)")) == {"ltr"}


@pytest.mark.parametrize("language", ["en", "he"])
def test_page_fits_phones_and_screens_in_both_colour_schemes(
    page: Page, thebase: Sandbox, client: httpx.Client, language: str
) -> None:
    thebase.expires_in = "e" * 900
    client.post(
        "/v2/" + "a" * 300 + "?q=" + "b" * 300, content="c" * 9000, headers={"X-" + "d" * 90: "d" * 900}
    )
    backs = set()
    for scheme in ("light", "dark"):
        for width in (320, 390, 768, 1280):
            page.resize(width, scheme)
            page.open(language)
            page.wait_for(page.rows)
            page.unfold(1)
            assert page.run("return document.documentElement.scrollWidth <= innerWidth"), (width, scheme)
            tops = [page.find(f"#{name}").rect["y"] for name in ("levers", "requests", "settings")]
            assert (tops == sorted(tops)) == (width < 1000)
        backs.add(page.run("return getComputedStyle(document.body).backgroundColor"))
    assert backs == {"rgb(244, 246, 249)", "rgb(16, 21, 29)"}


def test_end_of_the_sandbox_is_reported(page: Page, thebase: Sandbox) -> None:
    page.wait_for(lambda: page.text("#state") == "running")
    thebase.__exit__()
    page.wait_for(lambda: page.text("#state") == "not running any more")


# Pages of others


ATTACK = """
<form method=post target=frame enctype="text/plain" action="{url}reset">
<input name='{{"a":"' value='"}}'></form><iframe name=frame></iframe><script>
const url = "{url}", as_json = {{"Content-Type": "application/json"}};
Promise.allSettled([
  fetch(url + "reset", {{method: "POST", mode: "no-cors", body: "{{}}"}}),
  fetch(url + "reset", {{method: "POST", headers: as_json, body: "{{}}"}}),
  fetch(url + "status").then(response => response.text()),
  fetch(url + "received", {{mode: "no-cors"}}).then(response => response.text()),
]).then(results => {{
  window.got = results.map(one => one.value && (one.value.type || one.value) || "");
  document.querySelector("iframe").onload = () => {{ window.done = true; }};
  document.forms[0].submit();
}});
</script>"""


def test_page_of_another_site_can_neither_pull_a_lever_nor_read(
    chrome: webdriver.Chrome, thebase: Sandbox, client: httpx.Client
) -> None:
    thebase.expires_in = 7
    client.get("/v2/users")
    page = HTMLResponse(ATTACK.format(url=f"{thebase.domain}/_sandbox/"))
    with serve(page) as evil:
        chrome.get(evil)
        WebDriverWait(chrome, 20, 0.05).until(lambda driver: driver.execute_script("return window.done"))
        got = chrome.execute_script("return window.got")
        chrome.get("about:blank")
    chrome.get_log("browser")
    assert set(got) <= {"", "opaque"}
    assert (thebase.expires_in, len(thebase.received)) == (7, 1)
