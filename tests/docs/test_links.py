"""Every relative link of the Markdown leads to a file, and to a heading in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.pages import DOCS, PAGES, anchors_of, links_of, target_of

OTHERS = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md")]


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_somewhere(page: Path) -> None:
    for link in links_of(page):
        if link.startswith(("https://", "mailto:")):
            continue
        path, anchor = target_of(page, link)
        assert path.is_file(), link
        assert not anchor or anchor in anchors_of(path), link


@pytest.mark.parametrize("page", PAGES[2:], ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_of_the_site_links_to_the_site_alone(page: Path) -> None:
    for link in links_of(page):
        if not link.startswith(("https://", "mailto:")):
            assert target_of(page, link)[0].is_relative_to(DOCS), link


def test_each_page_is_in_the_navigation() -> None:
    english, hebrew = ((ROOT / name).read_text("utf-8") for name in ("mkdocs.yml", "mkdocs.he.yml"))
    for page in PAGES[2:]:
        path = page.relative_to(DOCS).as_posix()
        navigation = hebrew if path.startswith("he/") else english
        assert f": {path.removeprefix('he/')}\n" in navigation
