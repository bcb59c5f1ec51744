"""What docs/command-line.md tells of the command line is so: its commands can be given, its tables agree."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from tests.support.pages import text_of
from thebase_auth._cli import main
from thebase_auth._cli._arguments import program

PAGES = ["docs/command-line.md", "docs/he/command-line.md"]


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_the_page_can_be_given(page: str) -> None:
    fences = r"^```(?:bash|powershell)\n(.*?)^```"
    blocks = re.findall(fences, text_of(page), re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^thebase-auth (.+?)(?: \|.*)?$", "".join(blocks), re.MULTILINE)
    assert len(lines) >= 6
    parent = click.Context(program, **program.context_settings)
    for line in lines:
        name, *arguments = shlex.split(line)
        program.commands[name].make_context(name, arguments, parent)  # raises for what it does not know


@pytest.mark.parametrize("page", PAGES)
def test_the_page_has_each_command_each_exit_code_and_each_shell(
    page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--help"]) == 0
    help_ = capsys.readouterr().out
    text = text_of(page)
    codes = re.findall(r"^    (\d)  ", help_.partition("Exit codes:")[2], re.MULTILINE)
    assert re.findall(r"^\| (\d) \| ", text, re.MULTILINE) == codes == ["0", "1", "2", "3"]
    told = re.findall(r"^\| (?:`|<code dir=\"ltr\">)thebase-auth (\w+)", text, re.MULTILINE)
    assert sorted(told) == sorted(program.commands)
    for shell in ("bash", "zsh", "fish"):
        assert f"_THEBASE_AUTH_COMPLETE={shell}_source thebase-auth" in text


def test_each_option_for_the_settings_is_in_the_page() -> None:
    text = text_of(PAGES[0])
    for option in program.commands["check"].params:
        if not getattr(option, "hidden", False) and option.name not in {"timeout", "help"}:
            assert option.opts[0] in text
