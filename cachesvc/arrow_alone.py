"""Arrow without pandas.

pyarrow imports pandas at its first conversion, wherever that is installed, to be ready for what may
be one of its objects: 0.2 s of CPU and 40 MB for the service and each of its readers, which have
none.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa

_PANDAS = "pandas"


class _NoPandas(MetaPathFinder):
    """Whoever imports pandas is told that it is not installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Leaves every other module to the finders that follow."""
        if fullname == _PANDAS:
            raise ModuleNotFoundError(f"no {_PANDAS} here", name=_PANDAS)


def keep_pandas_out() -> None:
    """Has pyarrow find out, once and for all of this process, that there is no pandas.

    For others it is there as before. Does nothing where it has been imported already.
    """
    if _PANDAS in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.scalar(b"")  # asks for it
    finally:
        sys.meta_path.remove(finder)
