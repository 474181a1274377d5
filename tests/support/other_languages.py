"""The examples in other languages: built once for their sources, and run.

They are built in ``.cache/other-languages``, which lies as deep as the sources do, so that paths to
``proto/`` hold there too. What the builds need comes from the registries of their languages, in the
versions of their lock files, and stays in the caches of these.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_EXAMPLES = ROOT / "clients" / "examples"
_BUILDS = ROOT / ".cache" / "other-languages"
_PROTOC = ROOT / ".cache" / "stubs" / "bin"
_BUILD_S_MAX = 600


@dataclass(frozen=True, slots=True)
class Language:
    """How an example is built and run.

    Attributes:
        sources: Its folder.
        tools: Programs that have to be there.
        build: Commands, in its folder.
        run: The command that runs it there, without arguments.
    """

    sources: Path
    tools: Sequence[str]
    build: Sequence[Sequence[str]]
    run: Sequence[str]

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.sources.name

    @property
    def missing(self) -> list[str]:
        """Programs that are not there."""
        return [tool for tool in self.tools if shutil.which(tool) is None]

    def command(self, *arguments: str) -> list[str]:
        """What runs the example, built if it is not yet.

        Raises:
            AssertionError: It does not build.
        """
        directory = _BUILDS / self.name
        stamp = directory / ".built"
        key = self._key()
        if not stamp.exists() or stamp.read_text() != key:
            stamp.unlink(missing_ok=True)
            shutil.copytree(self.sources, directory, dirs_exist_ok=True)
            for command in self.build:
                _build(command, directory)
            stamp.write_text(key)
        return [part.replace("DIRECTORY", str(directory)) for part in self.run] + list(arguments)

    def _key(self) -> str:
        """What the build depends on."""
        found = hashlib.sha256(repr((ROOT, self.build)).encode())
        for path in sorted((*self.sources.iterdir(), *(ROOT / "proto").rglob("*.proto"))):
            if path.is_file():
                found.update(path.name.encode() + path.read_bytes())
        return found.hexdigest()


def _build(command: Sequence[str], directory: Path) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_BUILD_S_MAX,
    )
    told = f"{' '.join(command)} in {directory}:\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, told


def _environment() -> Mapping[str, str]:
    return {**os.environ, "PATH": f"{_PROTOC}{os.pathsep}{os.environ['PATH']}"}


_NODE = ["node", "npm"]
_NPM_CI = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
ARROW_IN_NODE = Language(
    Path(__file__).with_name("arrow_in_node"), _NODE, [_NPM_CI], ["node", "DIRECTORY/count.js"]
)
_GO_BUILD = ["go", "build", "-mod=readonly"]
ARROW_IN_GO = Language(
    Path(__file__).with_name("arrow_in_go"),
    ["go"],
    [[*_GO_BUILD, "-o", "count"]],
    ["DIRECTORY/count"],
)
GRPCURL = Language(
    Path(__file__).with_name("grpcurl"),
    ["go"],
    [[*_GO_BUILD, "-o", "grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl"]],
    ["DIRECTORY/grpcurl"],
)
LANGUAGES = [
    Language(
        _EXAMPLES / "nodejs",
        _NODE,
        [_NPM_CI],
        ["node", "DIRECTORY/follow.js"],
    ),
    Language(
        _EXAMPLES / "go",
        ["go"],
        [
            [str(ROOT / "scripts" / "protoc"), "--compilers"],  # protoc
            ["go", "generate"],
            [*_GO_BUILD, "-o", "example"],
        ],
        ["DIRECTORY/example"],
    ),
    Language(
        _EXAMPLES / "java",
        ["java", "javac", "mvn"],
        [["mvn", "-q", "-B", "-ntp", "process-classes"]],
        ["java", "-cp", "DIRECTORY/target/classes:DIRECTORY/target/dependency/*", "Follow"],
    ),
]
