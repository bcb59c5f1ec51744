"""Who imports whom, what an import loads, and which names are public."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import thebase_auth
from tests.support import ROOT
from tests.support.pythons import run, without

PACKAGE = Path(thebase_auth.__file__).parent
COMBINED = ("requests", "httpx", "httpx2")
LIBRARIES = (*COMBINED, "aiohttp")
#: Which parts of the package each part of the plugin may import.
MAY_IMPORT = {
    "_core": set[str](),
    "_waiting": {"_core"},
    "caches": {"_core", "_waiting"},
    "_auth": {"_core", "caches"},
    "_httpx": {"_core", "_waiting", "_auth"},
    "requests": {"_core", "_waiting", "_auth", "caches"},
    "httpx": {"_core", "_httpx"},
    "httpx2": {"_core", "_httpx"},
    "aiohttp": {"_core", "_waiting", "_auth"},
    "_combined": set(COMBINED),
    "testing": {"_core", "_waiting", "_text"},
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(name: str) -> set[str]:
    """Return the modules that a module imports, anywhere in its text."""
    package = name if MODULES[name].stem == "__init__" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            members = {f"{base}.{alias.name}" for alias in node.names}
            found |= (members & MODULES.keys()) or {base}
    return found


# Imports


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: imports(name) & MODULES.keys() for name in MODULES}).prepare()


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_each_part_imports_only_parts_below_it(part: str) -> None:
    own = [name for name in MODULES if name.split(".")[1:2] == [part]]
    imported = {other.split(".")[1] for name in own for other in imports(name) & MODULES.keys()}

    assert own
    assert imported - {part} <= MAY_IMPORT[part]


def test_core_does_no_io_and_knows_no_library() -> None:
    core = [name for name in MODULES if name.startswith("thebase_auth._core")]
    modules = {other for name in core for other in imports(name)} - {"urllib.parse"}
    imported = {other.partition(".")[0] for other in modules} - {"thebase_auth"}

    assert imported - sys.stdlib_module_names <= {"idna"}
    assert not imported & {"asyncio", "http", "selectors", "signal", "socket", "ssl", "subprocess", "urllib"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import thebase_auth", {*LIBRARIES, "asyncio", "anyio", "trio", "idna", "ssl", "socket"}),
        ("from thebase_auth import *; del TheBaseAuth", set()),
        ("from thebase_auth import Token, TheBaseAuthError", {*LIBRARIES, "asyncio", "idna"}),
        ("import thebase_auth.requests", {"httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "trio"}),
        ("import thebase_auth.httpx", {"requests", "httpx2", "urllib3", "trio"}),
        ("import thebase_auth.httpx2", {"requests", "httpx", "urllib3", "trio"}),
        ("import thebase_auth.aiohttp", {*COMBINED, "trio"}),
        ("import thebase_auth.caches", {*LIBRARIES, "redis", "valkey", "filelock", "platformdirs"}),
        ("import thebase_auth.testing", {*LIBRARIES, "uvicorn", "starlette", "asyncio"}),
        ("from thebase_auth._core.origin import Origin; Origin.of_domain('acme.thebase.co.il')", {"idna"}),
    ],
)
def test_import_loads_no_library_but_its_own(statement: str, absent: set[str]) -> None:
    # What the library loads by itself is its own affair.
    library = statement.rpartition(".")[2]
    first = f"import {library}" if library in LIBRARIES else "pass"
    code = "{}\nbefore = set(sys.modules)\n{}\nprint(json.dumps([*set(sys.modules) - before]))"
    loaded = set(run(code.format(first, statement)))

    assert "thebase_auth" in loaded
    assert not loaded & absent


# Libraries that are missing

ERROR_OF = """
try:
    from thebase_auth{} import TheBaseAuth
except ImportError as error:
    print(json.dumps([str(error), type(error).__name__]))
"""


@pytest.mark.parametrize("library", LIBRARIES)
def test_missing_library_is_an_import_error_that_names_the_extra(library: str) -> None:
    error = without({library}, ERROR_OF.format(f".{library}"))

    assert error == [f"thebase_auth.{library} needs {library}: install the extra '{library}'", "ImportError"]


@pytest.mark.parametrize("missing", COMBINED)
def test_combined_class_is_made_of_the_libraries_that_are_installed(missing: str) -> None:
    bases = without(
        {missing},
        """
from thebase_auth import TheBaseAuth
TheBaseAuth("acme.thebase.co.il", "id", "secret")
print(json.dumps([base.__module__ for base in TheBaseAuth.__bases__]))
""",
    )

    assert bases == [f"thebase_auth.{library}" for library in COMBINED if library != missing]


def test_combined_class_names_the_extras_where_no_library_is_installed() -> None:
    message, kind = without(set(COMBINED), ERROR_OF.format(""))

    assert kind == "ImportError"
    assert all(f"'{library}'" in message for library in COMBINED)
    assert "thebase_auth.aiohttp.TheBaseAuth" in message


def test_combined_class_does_not_hide_a_broken_library() -> None:
    broken = 'import types; sys.modules["requests"] = types.ModuleType("requests")'
    message, _ = run(broken + ERROR_OF.format(""))

    assert "requests.auth" in message


def test_package_needs_no_other_package() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"] == []


# What is public


@pytest.mark.parametrize("name", ["thebase_auth", *(f"thebase_auth.{one}" for one in (*LIBRARIES, "caches"))])
def test_exported_names_are_sorted_and_there(name: str) -> None:
    module = importlib.import_module(name)

    assert module.__all__ == sorted(set(module.__all__))
    assert all(getattr(module, member).__name__ == member for member in module.__all__)
    assert set(module.__all__) <= set(dir(module))
    if name.endswith(LIBRARIES):
        assert module.__all__ == ["PlainHTTPError", "TheBaseAuth", "TokenRequestError", "TokenTimeoutError"]


def test_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        thebase_auth.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_credentials_have_no_defaults_and_options_are_keyword_only() -> None:
    classes = [importlib.import_module(f"thebase_auth.{library}").TheBaseAuth for library in LIBRARIES]
    for kind in [*classes, thebase_auth.TheBaseAuth]:
        parameters = inspect.signature(kind).parameters.values()
        required = [one.name for one in parameters if one.default is one.empty]
        assert required == ["domain", "client_id", "client_secret"]
        assert all(one.kind is one.KEYWORD_ONLY for one in parameters if one.name not in required)
