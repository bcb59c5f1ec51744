"""The page of the sandbox, in a real browser; skipped where there is none, or no selenium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from tests.support.sandbox import LEAD, bearer
from thebase_auth.testing import Sandbox
from thebase_auth.testing._control import with_control
from thebase_auth.testing._levers import BUTTONS
from thebase_auth.testing._server import serve

pytest.importorskip("selenium", reason="the dependency group browser is not installed")
if not shutil.which("chromedriver"):
    pytest.skip("there is no chromedriver", allow_module_level=True)

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.slow

HEBREW = r"[\u0590-\u05ff]"


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
    """A sandbox with the page, as the command line runs it."""
    sandbox = Sandbox()
    sandbox.asgi = with_control(sandbox, lambda _: None)
    with sandbox:
        yield sandbox


class Page:
    """The page, open in a browser."""

    def __init__(self, driver: webdriver.Chrome, thebase: Sandbox) -> None:
        self.driver = driver
        self.url = f"{thebase.domain}/_sandbox/"

    def open(self, language: str = "en") -> None:
        self.driver.get("about:blank")  # or nothing but the fragment would change
        self.driver.get(f"{self.url}#{language}")
        self.wait_for(lambda: self.text("#domain"))

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def rows(self) -> list[list[str]]:
        """The texts of the list, a row without its time, the newest row first."""
        script = "return [...rows.rows].map(row => [...row.cells].map(cell => cell.textContent).slice(1))"
        rows: list[list[str]] = self.driver.execute_script(script)
        return rows

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def wait_for(self, condition: Callable[[], Any]) -> None:
        WebDriverWait(self.driver, 20, 0.05).until(lambda _: condition())

    def pull(self, button: int, **arguments: str) -> None:
        """Press the button of a lever, with other arguments than those it shows."""
        form = f"#levers form:nth-of-type({button})"
        for name, value in arguments.items():
            field = self.find(f"{form} input[name={name}]")
            field.clear()
            field.send_keys(value)
        before = self.text("#told")
        self.find(f"{form} button").click()
        self.wait_for(lambda: self.text("#told") not in {"", before})

    def is_as_wide_as(self, width: int, language: str, scheme: str = "light") -> bool:
        """Whether nothing sticks out of a window of that width."""
        command = self.driver.execute_cdp_cmd
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        command("Emulation.setDeviceMetricsOverride", size)
        command(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        self.open(language)
        return bool(self.run("return document.documentElement.scrollWidth <= innerWidth"))


@pytest.fixture
def page(chrome: webdriver.Chrome, thebase: Sandbox) -> Iterator[Page]:
    page = Page(chrome, thebase)
    page.open()
    yield page
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    # Nothing was blocked by the policy of the page, nothing failed in its script.
    assert [entry for entry in chrome.get_log("browser") if entry["source"] != "network"] == []


def test_it_shows_the_settings_and_copies_them(page: Page, thebase: Sandbox) -> None:
    origin = thebase.domain
    grant = {"origin": origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.driver.execute_cdp_cmd("Browser.grantPermissions", grant)
    settings = {"domain": origin, "client_id": thebase.client_id, "client_secret": thebase.client_secret}

    def reads(button: WebElement, text: str) -> bool:
        return button.text == text

    def clipboard() -> Any:
        return page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")

    for name, value in settings.items():
        assert page.text(f"#{name}") == value
        button = page.find(f"[data-copy={name}]")
        assert button.text == "Copy"
        button.click()
        page.wait_for(partial(reads, button, "Copied"))
        assert clipboard() == value
    page.find("#copy-all").click()
    page.wait_for(lambda: page.text("#copy-all") == "Copied")
    assert clipboard().splitlines() == [f"THEBASE_{name.upper()}={value}" for name, value in settings.items()]
    page.wait_for(lambda: page.text("#copy-all") == "Copy all for .env")
    assert page.driver.current_url == f"{origin}/_sandbox/#en"


def test_requests_appear_by_themselves_with_who_and_why(
    page: Page, thebase: Sandbox, client: httpx.Client
) -> None:
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
    assert page.text("#count") == "5"
    assert not page.find("#none").is_displayed()


def test_of_many_requests_the_latest_are_shown(page: Page, client: httpx.Client) -> None:
    for number in range(102):
        client.get(f"/{number}")
    page.wait_for(lambda: page.text("#count") == "the latest 100 of 102")
    assert (page.rows()[0][0], page.rows()[-1][0]) == ("GET /101", "GET /2")


def test_what_a_request_sends_is_text_and_no_markup(page: Page, client: httpx.Client) -> None:
    attack = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    client.get(f"/v2/{attack}")
    page.wait_for(page.rows)
    assert page.rows()[0][0] == f"GET /v2/{attack}"
    assert page.run("return document.querySelectorAll('img, #rows script').length") == 0
    assert page.driver.title == "TheBase sandbox"


def test_no_script_but_its_own_runs(page: Page) -> None:
    page.run("""
        const added = document.createElement("script");
        added.textContent = "window.owned = true";
        document.body.append(added);
    """)
    assert page.run("return window.owned") is None
    page.wait_for(lambda: "Content Security Policy" in str(page.driver.get_log("browser")))


def test_a_button_pulls_its_lever_with_the_arguments_that_are_there(
    page: Page, thebase: Sandbox, client: httpx.Client
) -> None:
    token = bearer(thebase, client)
    page.pull(1)
    assert page.text("#told") == "Done: revoke_tokens"
    assert client.get("/v2/users", headers=token).status_code == 401
    page.pull(6, call="GET /v2/users", status="418", times="2")
    assert page.text("#told") == 'Done: answer_next {"call":"GET /v2/users","status":418,"times":2}'
    assert [client.get("/v2/users").status_code for _ in range(3)] == [418, 418, 401]
    page.find("#levers form:nth-of-type(3) input").click()
    page.pull(3)
    assert page.text("#told") == 'Done: settings {"single_token":false}'
    page.pull(10)
    page.wait_for(lambda: page.find("#none").is_displayed())
    assert thebase.received == ()


def test_what_is_wrong_is_shown_in_its_own_words(page: Page) -> None:
    page.pull(4, call="users")
    assert page.text("#told").startswith("'users' is not a call; write a method in capitals")
    assert page.find("#told").get_attribute("class") == "wrong"
    page.pull(4, call="*")
    assert page.text("#told") == 'Done: refuse {"call":"*"}'


def test_hebrew_runs_right_to_left_and_code_left_to_right(page: Page, client: httpx.Client) -> None:
    client.get("/v2/%D7%90")
    client.post("/oauth/token")
    page.find("[data-language=he]").click()
    page.wait_for(lambda: page.run("return document.documentElement.dir") == "rtl")
    page.wait_for(lambda: len(page.rows()) == 2)
    assert page.run("return document.documentElement.lang") == "he"
    texts = page.run(f"""return [...document.querySelectorAll('[data-text], form button, .why, #state')]
        .map(one => one.textContent).filter(text => !/{HEBREW}/.test(text))""")
    assert texts == ["Client ID", "Client Secret"]
    left_to_right = page.run("""return [...document.querySelectorAll('code, .path, input, label, .time span')]
        .map(one => getComputedStyle(one).direction)""")
    assert set(left_to_right) == {"ltr"}
    assert page.rows()[1][:3] == ["GET /v2/א", "401", "בלי טוקן"]
    assert page.driver.current_url.endswith("#he")
    page.pull(1)
    assert page.text("#told") == "בוצע: revoke_tokens"
    page.find("[data-language=en]").click()
    page.wait_for(lambda: page.run("return document.documentElement.dir") == "ltr")
    assert page.rows()[1][2] == "no token"


def test_each_kind_of_reason_is_reported_in_hebrew(
    page: Page, thebase: Sandbox, client: httpx.Client
) -> None:
    token = bearer(thebase, client)
    client.post("/v2/leads/create", data={"name": "a"}, headers=token)
    client.post("/v2/leads/create", json={"name": "a"}, headers=token)
    client.post("/v2/users", headers=token)
    client.get("/v2/products", headers=token)
    thebase.delay_next("*", 0)
    client.get("/v2/products", headers=token)
    page.open("he")
    page.wait_for(lambda: len(page.rows()) == 6)
    plain = [row[2].replace("\u2066", "").replace("\u2069", "") for row in page.rows()]
    assert plain == [
        "עוכב לפי בקשתכם, אין קריאה כזאת; התכוונתם ל־GET /v2/products/ ?",
        "אין קריאה כזאת; התכוונתם ל־GET /v2/products/ ?",
        "המתודה צריכה להיות אחת מ־GET, HEAD",
        "חסר השדה f_name",
        "הכותרת Content-Type צריכה להיות application/json",
        "",
    ]


def test_the_page_has_all_buttons(page: Page) -> None:
    texts = page.run("return [...document.querySelectorAll('form button')].map(one => one.textContent)")
    assert texts == [button.text for button in BUTTONS]


@pytest.mark.parametrize("language", ["en", "he"])
def test_nothing_sticks_out_and_both_colour_schemes_are_kept(
    page: Page, client: httpx.Client, language: str
) -> None:
    client.get("/v2/" + "a" * 300 + "?q=" + "b" * 300)
    backs = set()
    for scheme in ("light", "dark"):
        for width in (320, 390, 768, 1280):
            assert page.is_as_wide_as(width, language, scheme), (width, scheme)
        backs.add(page.run("return getComputedStyle(document.body).backgroundColor"))
    assert backs == {"rgb(244, 246, 249)", "rgb(16, 21, 29)"}


def test_it_says_when_the_sandbox_has_ended(page: Page, thebase: Sandbox) -> None:
    page.wait_for(lambda: page.text("#state") == "running")
    thebase.__exit__()
    page.wait_for(lambda: page.text("#state") == "not running any more")


# Pages of others


ATTACK = """
<form method=post target=frame enctype="text/plain" action="{url}reset">
<input name='{{"a":"' value='"}}'></form>
<iframe name=frame></iframe><script>
const url = "{url}", as_json = {{"Content-Type": "application/json"}};
const tries = [
  () => fetch(url + "reset", {{method: "POST"}}),
  () => fetch(url + "reset", {{method: "POST", mode: "no-cors", body: "{{}}"}}),
  () => fetch(url + "reset", {{method: "POST", headers: as_json, body: "{{}}"}}),
  () => fetch(url + "status").then(response => response.text()),
  () => fetch(url + "received", {{mode: "no-cors"}}).then(response => response.text()),
];
Promise.allSettled(tries.map(one => one())).then(results => {{
  window.got = results.map(one => one.value && (one.value.type || one.value) || "");
  document.querySelector("iframe").onload = () => {{ window.done = true; }};
  document.forms[0].submit();
}});
</script>"""


def test_a_page_of_another_site_can_neither_pull_a_lever_nor_read(
    chrome: webdriver.Chrome, thebase: Sandbox, client: httpx.Client
) -> None:
    thebase.expires_in = 7
    client.get("/v2/users")
    url = f"{thebase.domain}/_sandbox/"
    app = Starlette(routes=[Route("/", lambda _: HTMLResponse(ATTACK.format(url=url)))])
    with serve(app) as evil:
        chrome.get(evil)
        wait = WebDriverWait(chrome, 20, 0.05)
        wait.until(lambda driver: driver.execute_script("return window.done"))
        got = chrome.execute_script("return window.got")
        chrome.get("about:blank")
    chrome.get_log("browser")
    assert not [one for one in got if one not in {"", "opaque"}]
    assert thebase.expires_in == 7
    assert len(thebase.received) == 1
