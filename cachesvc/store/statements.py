"""SQL from ``.sql`` files: statements, each with a name."""

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(*files: str, package: str = "cachesvc.store") -> dict[str, str]:
    """The statements of some files of a package, by name."""
    found: dict[str, str] = {}
    for file in files:
        text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
        parts = _NAME.split(text)[1:]
        found.update(zip(parts[::2], parts[1::2], strict=True))
    return found
