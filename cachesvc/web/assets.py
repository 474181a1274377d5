"""Files that pages are made of beside HTML, in memory: a few hundred KiB."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PATH = "/assets"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file.

    Attributes:
        content: What is in it.
        media_type: What it is.
        digest: Of its content; in its address, so that browsers may keep it for ever.
    """

    content: bytes
    media_type: str
    digest: str


class Assets:
    """All of them, by name. Reads them when it is made."""

    def __init__(self) -> None:
        self._assets = {
            name: Asset(content, _TYPES[suffix], hashlib.sha256(content).hexdigest()[:16])
            for name, suffix, content in _found(files("cachesvc.web") / "static", "")
        }

    def find(self, name: str) -> Asset | None:
        """A file, if there is one of that name."""
        return self._assets.get(name)

    def url(self, name: str) -> str:
        """Where a browser finds it."""
        return f"{PATH}/{name}?v={self._assets[name].digest}"


def _found(directory: Traversable, prefix: str) -> list[tuple[str, str, bytes]]:
    found = []
    for entry in directory.iterdir():
        name = f"{prefix}{entry.name}"
        suffix = name[name.rfind(".") :]
        if entry.is_dir():
            found += _found(entry, f"{name}/")
        elif suffix in _TYPES:
            found.append((name, suffix, entry.read_bytes()))
    return found
