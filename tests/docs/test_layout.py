"""The package is laid out as it says: who imports whom, and what each module says of itself."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import thebase_auth
import thebase_auth.httpx
import thebase_auth.httpx2
import thebase_auth.requests
from tests.support import ROOT
from tests.support.pythons import run, without
from thebase_auth._auth import CommonAuth
from thebase_auth._httpx import HttpxAuth

PACKAGE = Path(thebase_auth.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
COMBINED = ("requests", "httpx", "httpx2")
LIBRARIES = (*COMBINED, "aiohttp")

# Who may import whom: each module those above it, and of the adapters none the other.
LAYERS = (
    ("_core", "_core.errors", "_core.text", "caches._protocol"),
    ("_core.origin", "_core.throttle"),
    ("_core.credentials",),
    ("_core.diagnosis", "_core.warnings", "caches._file", "caches._redis"),
    ("_core.token", "caches"),
    ("_core.flight", "caches._record"),
    ("_core.renewal", "_waiting"),
    ("_core.call", "caches._shared"),
    ("_auth",),
    ("_httpx",),
    LIBRARIES,
    ("_combined",),
)  # fmt: skip
CLI_LAYERS = (
    ("_cli._errors",),
    ("_cli._settings", "_cli._failures", "_cli._demo", "_cli._sandbox"),
    ("_cli._commands",),
    ("_cli._arguments",),
    ("_cli",),
)
TESTING_LAYERS = (
    ("testing._messages", "testing._examples"),
    ("testing._fields", "testing._faults", "testing._record", "testing._asgi"),
    ("testing._assertions", "testing._routing", "testing._server"),
    ("testing._collections", "testing._leads"),
    ("testing._products", "testing._timers"),
    ("testing._crm",),
    ("testing._access",),
    ("testing._service",),
    ("testing._sandbox", "testing._mocks", "testing._cassettes"),
    ("testing._levers",),
    ("testing._control",),
    ("testing",),
)


def ranks(layers: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    return {name: rank for rank, layer in enumerate(layers) for name in layer}


RANK = ranks(LAYERS)
TESTING_RANK = ranks(TESTING_LAYERS)
CLI_RANK = ranks(CLI_LAYERS)
MAY_IMPORT_ADAPTERS = {"", "_combined", "_cli._commands", "_cli._demo", "_httpie", "_pytest_plugin"}
BESIDE = {"", "__main__", "_httpie", "_pytest_plugin"}

CORE = sorted(name for name in RANK if name.startswith("_core."))


def module(path: Path) -> str:
    """The name of a module as it is seen from the package: `_core.token`; "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").removesuffix(".")


MODULES = {module(path): path for path in SOURCES}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def imports(node: ast.AST, *, inside_functions: bool) -> Iterator[tuple[int, str]]:
    """Level and name of every import: ``(1, "_token")`` for ``from ._token import Token``."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from ((0, alias.name) for alias in names)
            case ast.ImportFrom(module=None, names=names, level=level):
                yield from ((level, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), level=level):
                yield level, module
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not inside_functions:
                pass
            case _:
                yield from imports(child, inside_functions=inside_functions)


def own_imports(name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in its text."""
    found = set()
    for node in ast.walk(tree(MODULES[name])):
        if not isinstance(node, ast.ImportFrom):
            continue
        base = name.split(".")[: len(name.split(".")) - node.level] if node.level else []
        if MODULES[name].stem == "__init__" and node.level:
            base = name.split(".")[: len(name.split(".")) - node.level + 1]
        start = [*filter(None, base), *filter(None, (node.module or "").split("."))]
        if node.level == 0 and start[:1] != ["thebase_auth"]:
            continue
        start = start if node.level else start[1:]
        for alias in node.names:
            longer = ".".join([*start, alias.name])
            found.add(longer if longer in MODULES else ".".join(start))
    return found


def outside_imports(name: str, *, inside_functions: bool) -> set[str]:
    found = imports(tree(MODULES[name]), inside_functions=inside_functions)
    return {module.partition(".")[0] for level, module in found if level == 0} - {"thebase_auth"}


# Imports, in the text


@pytest.mark.parametrize("name", CORE)
def test_the_core_knows_no_library_and_no_event_loop(name: str) -> None:
    imported = outside_imports(name, inside_functions=True)

    assert imported - sys.stdlib_module_names <= ({"idna"} if name == "_core.origin" else set())
    assert not imported & {"datetime", "asyncio", "selectors", "socket", "ssl", "http",
                           "urllib", "subprocess", "sched", "signal"}  # fmt: skip


@pytest.mark.parametrize("name", CORE)
def test_the_core_needs_nothing_that_is_not_in_the_standard_library(name: str) -> None:
    assert outside_imports(name, inside_functions=False) <= sys.stdlib_module_names


@pytest.mark.parametrize("name", RANK)
def test_dependencies_point_one_way(name: str) -> None:
    imported = own_imports(name)

    assert imported <= set(RANK)
    assert all(RANK[other] < RANK[name] for other in imported), imported


@pytest.mark.parametrize("name", TESTING_RANK)
def test_dependencies_of_the_sandbox_point_one_way(name: str) -> None:
    imported = own_imports(name)

    assert imported - set(TESTING_RANK) <= {"_waiting", "_core.origin", "_core.flight", "_core.text"}
    beside = imported & set(TESTING_RANK)
    assert all(TESTING_RANK[other] < TESTING_RANK[name] for other in beside), imported


@pytest.mark.parametrize("name", CLI_RANK)
def test_dependencies_of_the_command_line_point_one_way(name: str) -> None:
    beside = own_imports(name) & set(CLI_RANK)
    assert all(CLI_RANK[other] < CLI_RANK[name] for other in beside), beside


def test_every_module_has_its_place() -> None:
    assert set(MODULES) == {*RANK, *TESTING_RANK, *CLI_RANK, *BESIDE}


@pytest.mark.parametrize("name", MODULES)
def test_nothing_that_an_adapter_uses_imports_an_adapter(name: str) -> None:
    if name not in MAY_IMPORT_ADAPTERS:
        assert not own_imports(name) & set(LIBRARIES)


def test_the_httpx_driver_and_what_it_uses_import_no_library() -> None:
    for name in (*CORE, "_auth", "_waiting", "_httpx"):
        assert not outside_imports(name, inside_functions=True) & set(LIBRARIES)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_module_needs_more_than_the_oldest_python(path: Path) -> None:
    ast.parse(path.read_text("utf-8"), feature_version=(3, 11))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_checked_by_an_assert_that_an_option_of_python_takes_away(path: Path) -> None:
    assert not [node for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)]


def test_nothing_is_required_and_extras_are_bounded_from_below_only() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["dependencies"] == []
    for extra, requirements in project["optional-dependencies"].items():
        for requirement in requirements:
            own = requirement.startswith("thebase-auth[")
            assert own or re.fullmatch(r"[\w-]+>=[\d.]+(; .*)?", requirement), (extra, requirement)


# Imports, as they happen


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
        ("import thebase_auth.testing", {*LIBRARIES, "uvicorn", "starlette", "asyncio"}),
    ],
)
def test_an_import_loads_no_library_but_its_own(statement: str, absent: set[str]) -> None:
    # What the library loads by itself is its own affair.
    library = statement.rpartition(".")[2]
    first = f"import {library}" if library in LIBRARIES else "pass"
    code = "{}\nbefore = set(sys.modules)\n{}\nprint(json.dumps([*set(sys.modules) - before]))"
    loaded = set(run(code.format(first, statement)))

    assert "thebase_auth" in loaded
    assert not loaded & absent


def test_a_domain_in_ascii_does_not_load_idna() -> None:
    assert run("""
from thebase_auth._core.origin import Origin
Origin.of_domain("acme.thebase.co.il")
before = "idna" in sys.modules
Origin.of_domain("ישראל.co.il")
print(json.dumps([before, "idna" in sys.modules]))
""") == [False, True]


def test_the_core_can_be_imported_where_nothing_else_is_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"""
import sys
sys.path.insert(0, {str(PACKAGE.parent)!r})
import thebase_auth
for name in {[*CORE, "_waiting", "_auth", "_httpx"]!r}:
    __import__("thebase_auth." + name)
"""],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_library_is_an_import_error_that_names_the_extra(library: str) -> None:
    text, kind = without(
        {library},
        f"""
try:
    import thebase_auth.{library}
except ImportError as error:
    print(json.dumps([str(error), type(error).__name__]))
""",
    )

    assert kind == "ImportError"
    assert f"needs {library}" in text
    assert f"pip install 'thebase-auth[{library}]'" in text


@pytest.mark.parametrize("missing", COMBINED)
def test_the_class_for_all_libraries_is_made_of_those_that_are_installed(missing: str) -> None:
    bases = without(
        {missing},
        """
from thebase_auth import TheBaseAuth
TheBaseAuth("acme.thebase.co.il", "id", "secret")
print(json.dumps([base.__module__ for base in TheBaseAuth.__bases__]))
""",
    )

    assert bases == [f"thebase_auth.{library}" for library in COMBINED if library != missing]


def test_the_class_for_all_libraries_does_not_pass_over_one_that_is_broken() -> None:
    message = run("""
import types
sys.modules["requests"] = types.ModuleType("requests")
try:
    from thebase_auth import TheBaseAuth
except ImportError as error:
    print(json.dumps(str(error)))
""")

    assert "requests.auth" in message


def test_the_class_for_all_libraries_names_the_extras_where_none_is_installed() -> None:
    text = without(
        set(COMBINED),
        """
import thebase_auth
try:
    thebase_auth.TheBaseAuth
except ImportError as error:
    print(json.dumps(str(error)))
""",
    )

    for library in COMBINED:
        assert f"'thebase-auth[{library}]'" in text


# The tests

TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_a_test_module_has_one_subject_and_imports_no_other(path: Path) -> None:
    imported = {module for _, module in imports(tree(path), inside_functions=True)}

    assert not [module for module in imported if ".test_" in module or module.endswith("conftest")]
    assert len(path.read_text("utf-8").splitlines()) <= 600


# What is public


def public_modules() -> list[Any]:
    names = [path.stem for path in SOURCES if path.parent == PACKAGE]
    names += [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    names = [name for name in names if not name.startswith("_")]
    return [thebase_auth, *(importlib.import_module(f"thebase_auth.{name}") for name in names)]


PUBLIC = [pytest.param(module, id=module.__name__) for module in public_modules()]


@pytest.mark.parametrize("module", PUBLIC)
def test_what_a_module_exports_is_sorted_and_there(module: Any) -> None:
    assert module.__all__ == sorted(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__name__ == name


def test_every_adapter_exports_the_same_names() -> None:
    names = ["PlainHTTPError", "TheBaseAuth", "TokenRequestError", "TokenTimeoutError"]
    for library in LIBRARIES:
        assert importlib.import_module(f"thebase_auth.{library}").__all__ == names


def test_dir_of_the_package_has_the_names_that_are_loaded_when_asked_for() -> None:
    assert set(thebase_auth.__all__) <= set(dir(thebase_auth))


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        thebase_auth.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_every_constructor_takes_the_same_arguments_and_options_by_name_only() -> None:
    classes = [importlib.import_module(f"thebase_auth.{library}").TheBaseAuth for library in LIBRARIES]
    for kind in [*classes, thebase_auth.TheBaseAuth]:
        parameters = list(inspect.signature(kind).parameters.values())
        positional = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        assert positional == ["domain", "client_id", "client_secret"]
        for option in parameters[3:]:
            assert option.kind is inspect.Parameter.KEYWORD_ONLY
            assert option.default is not inspect.Parameter.empty


def public_callables() -> Iterator[Any]:
    """Every public function and method that is written down, and its docstring."""
    classes: set[type] = {CommonAuth, HttpxAuth}
    for module in public_modules():
        for name in module.__all__:
            member = getattr(module, name)
            if inspect.isclass(member):
                classes.add(member)
            elif callable(member):
                yield pytest.param(member, inspect.getdoc(member) or "", id=name)
    for kind in sorted(classes, key=lambda kind: (kind.__module__, kind.__qualname__)):
        for name, member in vars(kind).items():
            function = getattr(member, "__func__", member)
            if not inspect.isfunction(function) or function.__code__.co_filename == "<string>":
                continue  # an attribute, or made by a dataclass
            if not function.__module__.startswith("thebase_auth"):
                continue  # made by Protocol
            docstring = inspect.getdoc(function) or ""
            if name == "__init__":  # may leave it to its class
                docstring += f"\n{inspect.getdoc(kind)}"
            if (kind, name) == (CommonAuth, "__init__"):
                continue  # refers to those of the adapters
            if name in {"__init__", "__call__"} or not name.startswith("_"):
                where = f"{kind.__module__}.{kind.__qualname__}.{name}"
                yield pytest.param(function, docstring, id=where)


CALLABLES = list(public_callables())


@pytest.mark.parametrize(("function", "docstring"), CALLABLES)
def test_a_public_callable_that_raises_says_so_in_its_docstring(function: Any, docstring: str) -> None:
    parsed = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function)))
    raises = any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(parsed))

    assert not raises or re.search(r"^ *Raises:$", docstring, re.MULTILINE)


@pytest.mark.parametrize(("function", "docstring"), CALLABLES)
def test_a_public_callable_that_takes_a_time_says_that_it_is_in_seconds(
    function: Any, docstring: str
) -> None:
    times = {"timeout", "expires_in", "seconds", "lease", "ttl", "delay"}

    assert not times & set(inspect.signature(function).parameters) or "seconds" in docstring.lower()


@pytest.mark.parametrize(("function", "docstring"), CALLABLES)
def test_a_public_callable_says_what_it_is_for(function: Any, docstring: str) -> None:
    assert docstring.strip(), function


# One class out of several


def own_names(kind: type, below: type) -> set[str]:
    """The names that a class and its bases set beside those of *below*, also on its instances."""
    names: set[str] = set()
    for base in kind.__mro__:
        if base.__module__.startswith("thebase_auth") and base not in below.__mro__:
            names |= set(vars(base))
            for node in ast.walk(ast.parse(inspect.cleandoc("\n" + inspect.getsource(base)))):
                match node:
                    case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                        names.add(name)
    return names


COOPERATIVE = {"__init__", "__module__", "__doc__", "__static_attributes__", "__firstlineno__",
               "__call__", "from_env"}  # fmt: skip


DRIVERS = pytest.mark.parametrize(
    "driver", [thebase_auth.httpx.TheBaseAuth, thebase_auth.httpx2.TheBaseAuth], ids=["httpx", "httpx2"]
)


@DRIVERS
def test_the_adapters_that_make_one_class_together_share_no_name_by_chance(driver: type) -> None:
    requests_names = own_names(thebase_auth.requests.TheBaseAuth, CommonAuth)
    driver_names = own_names(driver, CommonAuth)

    assert "_session" in requests_names
    assert "sync_auth_flow" in driver_names
    assert requests_names & driver_names <= COOPERATIVE


@DRIVERS
def test_an_adapter_takes_no_name_that_its_librarys_base_class_uses(driver: type) -> None:
    library = next(base for base in driver.__mro__ if base.__module__.partition(".")[0] in LIBRARIES)
    shared = own_names(driver, object) & {name for name in vars(library) if name[:2] != "__"}
    assert shared == {"auth_flow", "sync_auth_flow", "async_auth_flow"}
