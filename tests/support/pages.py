"""The pages that users read: their blocks of Python, and where their links lead."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from tests.support import ROOT
from tests.support.pythons import run_pytest_in
from thebase_auth.testing import Sandbox

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "README.he.md", *sorted(DOCS.rglob("*.md"))]
_OURS = {"thebase_auth", "requests", "httpx", "httpx2", "aiohttp"}
_FENCE = re.compile(r'^```python(?: title="(\w+\.py)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)

# What each block may take for granted.
_BEFORE = """
import os
import requests
from thebase_auth.requests import TheBaseAuth
client_id, client_secret = os.environ["THEBASE_CLIENT_ID"], os.environ["THEBASE_CLIENT_SECRET"]
"""


class Block(NamedTuple):
    """A block of Python in a page. It is run beside the files of its page, and without its other blocks.

    Attributes:
        page: The page.
        line: The line on which it starts.
        file: The name of the file that it is; empty if it has none.
        code: The code.
    """

    page: Path
    line: int
    file: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_test(self) -> bool:
        return "def test_" in self.code

    def files(self) -> list[Block]:
        """The files of its page."""
        return [block for block in BLOCKS if block.page == self.page and block.file]

    def libraries(self) -> set[str]:
        """The libraries that it and the files of its page import, beside those that are always there."""
        names: set[str] = set()
        modules = {Path(block.file).stem for block in self.files()}
        for block in (self, *self.files()):
            for node in ast.walk(ast.parse(block.code)):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names.add(node.module.partition(".")[0])
        return names - sys.stdlib_module_names - _OURS - modules

    def write_files(self, folder: Path) -> None:
        """Write the files of its page into *folder*."""
        for block in self.files():
            (folder / block.file).write_text(block.code, "utf-8")


def text_of(page: Path | str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: Path | str) -> list[Block]:
    text = text_of(page)
    return [
        Block(ROOT / page, text.count("\n", 0, match.start()) + 1, match[1] or "", match[2])
        for match in _FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def need_libraries(block: Block) -> None:
    """Skip the test if one is missing, unless the group docs is installed, which has them all."""
    missing = [name for name in block.libraries() if find_spec(name) is None]
    if missing and find_spec("mkdocs") is None:
        pytest.skip(f"{', '.join(missing)} is of the group docs: nox -s docs")


def run_script(block: Block, thebase: Sandbox, folder: Path) -> None:
    """Run the block in *folder*; the sandbox takes the place of the customer's TheBase."""
    code = block.code.replace("https://acme.thebase.co.il", thebase.domain)
    code = code.replace('"acme.thebase.co.il"', repr(thebase.domain))
    settings = {
        "THEBASE_DOMAIN": thebase.domain,
        "THEBASE_CLIENT_ID": thebase.client_id,
        "THEBASE_CLIENT_SECRET": thebase.client_secret,
        "XDG_CACHE_HOME": str(folder),  # where FileTokenCache() keeps its file
    }
    block.write_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in settings.items():
            patch.setenv(name, value)
        if block.libraries():  # some change the libraries of the process for good
            _run_in_another_python(code)
        else:
            _run_here(code, str(block))


def _run_here(code: str, name: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(_BEFORE, names)
    exec(compile(code, name, "exec"), names)
    if isinstance(names.get("session"), requests.Session):
        names["session"].close()


def _run_in_another_python(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BEFORE + code], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_tests(blocks: list[Block], folder: Path) -> None:
    """Run the blocks in *folder*, each as a file of tests."""
    for block in blocks:
        block.write_files(folder)
        name = re.sub(r"\W", "_", str(block))
        (folder / f"test_{name}.py").write_text(block.code, "utf-8")
    ended = run_pytest_in(folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{sum(block.code.count('def test_') for block in blocks)} passed" in ended.stdout


# Links

_LINK = re.compile(r"\]\(([^()\s]+)\)|^\[[^\]^]+\]: (\S+)$|(?:src|srcset|href)=\"([^\"]+)\"", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


def links_of(page: Path) -> list[str]:
    """Where the page leads: Markdown's links and images, and those of HTML."""
    found = _LINK.findall(_CODE.sub("", text_of(page)))
    return [one or two or three for one, two, three in found]


def anchors_of(page: Path) -> set[str]:
    """What GitHub calls the page's headings."""
    text = _CODE.sub(lambda code: code[0] if code[0].count("\n") == 0 else "", text_of(page))
    text = _INCLUDED.sub(lambda name: text_of(name[1]), text)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def target_of(page: Path, link: str) -> tuple[Path, str]:
    """The file and the anchor that a relative link names."""
    path, _, anchor = link.partition("#")
    return ((page.parent / path).resolve() if path else page), anchor
