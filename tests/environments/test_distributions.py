"""What would be published: each distribution builds, holds what it should, and resolves."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import pytest

from tests.environments.environment import CLIENT, ROOT, SYNC, UV, build, run
from tests.environments.pythons import OLDEST, text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("distributions"),
]

NAMES = {"cachesvc": ROOT, "cachesvc-client": CLIENT, "cachesvc-sync": SYNC}
_TYPED = {
    "cachesvc": set[str](),
    "cachesvc-client": {"cachesvc/client/py.typed", "cachesvc/v1/py.typed"},
    "cachesvc-sync": {"cachesvc/sync/py.typed"},
}
_COMMANDS = {
    "cachesvc": {"cachesvc = cachesvc.__main__:main"},
    "cachesvc-client": set[str](),
    "cachesvc-sync": {
        "cachesvc-sync = cachesvc.sync.__main__:main",
        *(f"{kind} = cachesvc.sync.sinks.{kind}:{kind.upper()}" for kind in ("http", "jsonl")),
        *(f"{kind} = cachesvc.sync.sinks.{kind}:{kind.upper()}" for kind in ("kafka", "parquet")),
        "postgres = cachesvc.sync.sinks.postgres:POSTGRES",
    },
}


@dataclass(frozen=True, slots=True)
class Distribution:
    """One that was built; the wheel out of the source distribution.

    Attributes:
        name: Its name.
        files: What the wheel holds, by path.
        sources: What the source distribution holds.
    """

    name: str
    files: dict[str, bytes]
    sources: set[str]

    def about(self, file: str) -> bytes:
        """A file that the wheel tells about itself with."""
        (found,) = (
            text for path, text in self.files.items() if path.endswith(f".dist-info/{file}")
        )
        return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Distribution]:
    """Builds each once."""
    known: dict[str, Distribution] = {}

    def one(name: str) -> Distribution:
        if name not in known:
            wheel, source = build(NAMES[name], tmp_path_factory.mktemp(name))
            with zipfile.ZipFile(wheel) as archive:
                files = {path: archive.read(path) for path in archive.namelist()}
            with tarfile.open(source) as packed:
                sources = {path.partition("/")[2] for path in packed.getnames()}
            known[name] = Distribution(name, files, sources)
        return known[name]

    return one


Built = Callable[[str], Distribution]


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_has_all_of_the_package_and_nothing_else(name: str, built: Built) -> None:
    found = {path for path in built(name).files if ".dist-info/" not in path}
    assert found == set(_package(NAMES[name]))
    assert {path for path in found if path.endswith("py.typed")} == _TYPED[name]
    assert "cachesvc/__init__.py" not in found, "it is a namespace"


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_says_what_it_is(name: str, built: Built) -> None:
    about = message_from_bytes(built(name).about("METADATA"))
    assert (about["Name"], about["Version"]) == (name, version(name))
    assert about["License-Expression"] == "Apache-2.0"
    readme = (NAMES[name] / "README.md").read_text()
    # What follows the first empty line.
    described = built(name).about("METADATA").decode().partition("\n\n")[2]
    assert described.strip() == readme.strip()
    assert built(name).about("licenses/LICENSE") == (NAMES[name] / "LICENSE").read_bytes()
    commands = built(name).about("entry_points.txt").decode() if _COMMANDS[name] else ""
    assert {line for line in commands.splitlines() if " = " in line} == _COMMANDS[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_source_distribution_has_examples_and_no_tests(name: str, built: Built) -> None:
    sources, project = built(name).sources, NAMES[name]
    assert sources >= {"README.md", "LICENSE", "pyproject.toml", *_package(project)}
    examples = {f"examples/{path.name}" for path in project.glob("examples/*.py")}
    assert {path for path in sources if path.startswith("examples/")} == examples
    assert not [path for path in sources if path.startswith(("tests", "clients", "requirements"))]


def test_no_two_wheels_have_the_same_file(built: Built) -> None:
    paths = [path for name in NAMES for path in built(name).files]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_all_of_it_with_every_extra_fits_into_one_environment(
    resolution: str, tmp_path: Path
) -> None:
    """The extra `kafka` brings the service."""
    wanted = tmp_path / "all.in"
    extras = {
        "cachesvc": "[traces]",
        "cachesvc-client": "[pandas,polars]",
        "cachesvc-sync": "[kafka,postgres,sql,http]",
    }
    lines = [f"{name}{extras[name]} @ {project.as_uri()}\n" for name, project in NAMES.items()]
    wanted.write_text("".join(lines[1:]))
    where = tmp_path / "here.txt"
    where.write_text(lines[0])
    how = ("--quiet", "--no-header", "--no-annotate", "--python-version", text(OLDEST))
    what = ("--resolution", resolution, "--override", where, wanted)
    resolved = run(UV, "pip", "compile", *how, *what)
    names = {line.partition("==")[0].partition(" ")[0] for line in resolved.splitlines()}
    others = {"httpx", "opentelemetry-sdk", "pandas", "polars", "psycopg-binary"}
    assert names >= {*NAMES, "aiokafka", "duckdb", *others}


def _package(project: Path) -> Iterator[str]:
    """The files of a distribution's package in the source tree."""
    for path in (project / "cachesvc").rglob("*"):
        relative = PurePosixPath(path.relative_to(project).as_posix())
        if path.is_file() and "__pycache__" not in relative.parts:
            yield str(relative)
