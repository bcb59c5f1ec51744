"""Links between the English site and the Hebrew one, which mkdocs builds separately."""  # noqa: INP001

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_ENGLISH_PAGE = re.compile(r"^\[English\]\(\.\./(.+)\.md\)$", re.MULTILINE)


def on_page_context(_context: Any, page: Any, config: Any, **_: Any) -> None:
    """Let the language switch lead to the same page in the other language, or to its first page."""
    pages = dict(_pages_in_both_languages())
    path = page.url.removesuffix(".html")
    if config.theme["language"] == "he":
        english, hebrew = f"../{pages[path]}.html", page.url
    else:
        hebrew_path = {english: hebrew for hebrew, english in pages.items()}.get(path, "index")
        english, hebrew = page.url, f"he/{hebrew_path}.html"
    config.extra["alternate"] = [
        {"name": "English", "link": english, "lang": "en"},
        {"name": "עברית", "link": hebrew, "lang": "he"},
    ]


def on_page_content(html: str, **_: Any) -> str:
    """Let the links of a Hebrew page to English ones lead to the English site."""
    return re.sub(r'(href="\.\./[^"#]+)\.md', r"\1.html", html)


def _pages_in_both_languages() -> Any:
    """Yield the paths of each Hebrew page and of the English page that it links to at its top."""
    for page in Path(__file__).parents[1].glob("he/*.md"):
        for english in _ENGLISH_PAGE.findall(page.read_text("utf-8")):
            yield page.stem, english
