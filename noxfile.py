"""The tests with other versions than those of the README's test command: ``nox``, or ``nox -s NAME``.

tests      what ships, with each Python but the oldest, and the newest of every library
lowest     the same with the oldest Python and the lowest version of each library that the extras allow
niquests   what a session of niquests is told
mocks      what the kit does with mocks and recorders that the other sessions do not have
suites     what the tests of requests and httpx find when we sign their calls
docs       the sites are built without a warning, and every example of their pages runs
release    version, changelog and tag agree; builds and checks what is uploaded, and an SBOM; only if named

Where an interpreter is missing, its session is skipped with a word.
"""

# What ships is tested, and nothing else: the package comes from the built wheel, the tests from the
# built sdist, whose own copy of the package is deleted before they run.

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import tempfile
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]
# With every pip; `--group` is known to the newer ones alone.
TEST = nox.project.dependency_groups(PYPROJECT, "test")
# The extras whose lower bounds are promised; what else the tests need are tools.
PLUGIN = ["requests", "httpx", "httpx2", "aiohttp", "redis", "file"]
PROMISED = [*PLUGIN, "testing", "demo", "cli", "httpie"]
# In these versions the tests of requests and httpx pass by themselves.
SUITES = ["requests[socks]==2.34.2", "httpx[brotli,cli,http2,socks,zstd]==0.28.1"]
SUITE_TOOLS = [
    *("pytest<9", "pytest-httpbin==2.1.0", "pytest-mock", "pytest-timeout", "trustme"),
    *("chardet<6", "click<8.2", "trio<0.28", "uvicorn<0.33"),
]

BUILT: list[Path] = []  # wheel and sdist, once a session of this run has built them

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.stop_on_first_error = True


@nox.session(python=PYTHONS[1:])
def tests(session: nox.Session) -> None:
    """Run the tests with the newest of everything; with the oldest Python, `lowest` runs them."""
    wheel, folder = build(session)
    session.install(str(wheel), *TEST)
    run(session, folder, "-n", "auto", *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions of the libraries."""
    wheel, folder = build(session)
    bounds = [one for extra in PROMISED for one in EXTRAS[extra] if ">=" in one]
    constraints = Path(session.create_tmp(), "lowest.txt")
    constraints.write_text("\n".join(one.replace(">=", "==") for one in bounds))
    session.install("--constraint", str(constraints), str(wheel), *TEST)
    run(session, folder, "-n", "auto", *session.posargs)


@nox.session(python=PYTHONS[0])
def niquests(session: nox.Session) -> None:
    """Run the one test for niquests, whose urllib3 takes the place of everybody's."""
    wheel, folder = build(session)
    session.install(f"{wheel}[requests]", "niquests", "pytest", "pytest-timeout")
    run(session, folder, "--noconftest", "--override-ini=addopts=", "tests/adapters/test_niquests.py")


@nox.session(python=PYTHONS[0])
def mocks(session: nox.Session) -> None:
    """Run the tests for vcrpy, pytest-recording and pytest-httpx, which the others skip."""
    wheel, folder = build(session)
    session.install(str(wheel), *nox.project.dependency_groups(PYPROJECT, "mocks"))
    run(session, folder, "tests/kit/test_cassettes.py", "tests/kit/test_mocks.py", *session.posargs)


@nox.session(python=PYTHONS[0])
def suites(session: nox.Session) -> None:
    """Run the tests of requests and httpx as they are, and signed and rejected; compare the outcomes."""
    wheel, folder = build(session)
    sources = folder / "suites"
    download = ["--no-deps", "--no-binary=:all:", f"--dest={sources}", *SUITES]
    session.run("python", "-m", "pip", "download", *download, silent=True)
    for sdist in sources.glob("*.tar.gz"):
        with tarfile.open(sdist) as archive:
            archive.extractall(sources, filter="data")
    session.install(str(wheel), *SUITES, *SUITE_TOOLS)
    [requests], [httpx] = sources.glob("requests-*/"), sources.glob("httpx-*/")
    compare = folder / "tests" / "suites" / "compare.py"
    session.run("python", str(compare), str(requests), str(httpx))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the sites into site/ and site/he/, and run the examples of all pages, skipping none."""
    session.install("pip>=25.1")
    session.install("-e", ".", "--group", "docs")
    for config in ("mkdocs.yml", "mkdocs.he.yml"):
        build = ["mkdocs", "build", "--strict", "--quiet", "--config-file", config]
        session.run(*build, env={"NO_MKDOCS_2_WARNING": "1"})
    foreign = re.compile(r'<(?:script|link|img|source)[^>]* (?:src|srcset|href)="(?:https?:)?//')
    for page in Path("site").rglob("*.html"):
        if foreign.search(page.read_text("utf-8")):
            session.error(f"{page} loads something from another host")
    session.run("pytest", "tests/docs/test_blocks.py", "tests/docs/test_links.py", *session.posargs)


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Build the last commit for the upload, if version, changelog and tag agree: ``-s release [-- TAG]``."""
    source = Path(session.create_tmp()).resolve() / "source"
    shutil.rmtree(source, ignore_errors=True)
    archive = source.with_suffix(".tar")
    session.run("git", "archive", "--output", str(archive), "HEAD", external=True)
    with tarfile.open(archive) as tar:
        tar.extractall(source, filter="data")
    code, changelog = ((source / name).read_text() for name in ("thebase_auth/__init__.py", "CHANGELOG.md"))
    [version] = re.findall(r'^__version__ = "(.+)"$', code, re.MULTILINE)
    if session.posargs not in ([], [f"v{version}"]):
        session.error(f"the tag must be v{version}, as thebase_auth/__init__.py says, not {session.posargs}")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        session.error(f"CHANGELOG.md has no section for {version} with a date")
    link_to_repository(session, source, version)
    shutil.rmtree("dist", ignore_errors=True)
    session.install(*nox.project.dependency_groups(PYPROJECT, "release"))
    session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist", str(source), silent=True)
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    write_sbom(session, version)


def write_sbom(session: nox.Session, version: str) -> None:
    """Write sbom/: the plugin and what its extras install, as a CycloneDX document."""
    environment = Path(session.create_tmp()).resolve() / "environment"
    [wheel] = Path("dist").glob("*.whl")
    session.run("python", "-m", "venv", "--clear", "--without-pip", str(environment))
    plugin = f"{wheel}[{','.join(PLUGIN)}]"
    session.run("python", "-m", "pip", "--python", str(environment), "install", "--quiet", plugin)
    Path("sbom").mkdir(exist_ok=True)
    output = Path("sbom", f"thebase_auth-{version}.cdx.json")
    about = ["--pyproject", "pyproject.toml", "--mc-type", "library", "--output-reproducible"]
    session.run("cyclonedx-py", "environment", *about, "--output-file", str(output), str(environment))
    sbom = json.loads(output.read_text("utf-8"))
    sbom["metadata"]["component"]["version"] = version  # pyproject.toml does not have it
    output.write_text(json.dumps(sbom, indent=2) + "\n", "utf-8")


def link_to_repository(session: nox.Session, source: Path, version: str) -> None:
    """Name the repository in the metadata, and make the README's links absolute, as PyPI needs them."""
    # GitHub says in each workflow which repository it is.
    name = os.environ.get("GITHUB_REPOSITORY")
    if name is None:
        session.warn("GITHUB_REPOSITORY (owner/name) is not set: the links in the README stay relative")
        return
    url = f"https://github.com/{name}"
    pages = {"Source": url, "Issues": f"{url}/issues"}
    files = {"Documentation": "docs/index.md", "Changelog": "CHANGELOG.md", "Security": "SECURITY.md"}
    pages |= {title: f"{url}/blob/v{version}/{file}" for title, file in files.items()}
    with (source / "pyproject.toml").open("a") as pyproject:
        pyproject.write(
            "\n[project.urls]\n" + "".join(f'{title} = "{page}"\n' for title, page in pages.items())
        )
    readme, raw = source / "README.md", f"https://raw.githubusercontent.com/{name}/v{version}"
    text = re.sub(r'((?:src|srcset)=")(?!https?:)', rf"\1{raw}/", readme.read_text())
    readme.write_text(re.sub(r"(\]\()(?!https?:|#)", rf"\1{url}/blob/v{version}/", text))


def build(session: nox.Session) -> tuple[Path, Path]:
    """The wheel, and a folder with the tests of the sdist; the first session of a run builds both."""
    if not BUILT:
        dist = Path(session.cache_dir, "dist").resolve()
        shutil.rmtree(dist, ignore_errors=True)
        session.install("build")
        session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
        BUILT.extend([*dist.glob("*.whl"), *dist.glob("*.tar.gz")])
    wheel, sdist = BUILT
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [tests] = folder.iterdir()
    shutil.rmtree(tests / "thebase_auth")
    return wheel, tests


def run(session: nox.Session, folder: Path, *arguments: str) -> None:
    """Run pytest where the source tree is out of reach."""
    session.chdir(folder)
    # Not in the temporary folder that a session has here: the tests run pytest there, which would find
    # the settings of this project.
    elsewhere = {"TMPDIR": tempfile.gettempdir()}
    session.run("pytest", "-p", "no:cacheprovider", *arguments, env=elsewhere)
