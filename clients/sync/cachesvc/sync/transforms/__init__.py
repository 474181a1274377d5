"""What a task can do with changes on their way; docs/transforms.md has an example of each."""

from collections.abc import Mapping

from cachesvc.sync.transform import TransformKind
from cachesvc.sync.transforms.cast import CAST
from cachesvc.sync.transforms.debezium import DEBEZIUM
from cachesvc.sync.transforms.documents import fused
from cachesvc.sync.transforms.filter import FILTER
from cachesvc.sync.transforms.function import PYTHON
from cachesvc.sync.transforms.members import DROP, FLATTEN, KEEP, RENAME
from cachesvc.sync.transforms.sql import SQL

TRANSFORMS: Mapping[str, TransformKind] = {
    "cast": CAST,
    "debezium": DEBEZIUM,
    "drop": DROP,
    "filter": FILTER,
    "flatten": FLATTEN,
    "keep": KEEP,
    "python": PYTHON,
    "rename": RENAME,
    "sql": SQL,
}
"""Every kind by its name in ``[[transforms]]``."""

__all__ = ["TRANSFORMS", "fused"]
