"""``[audit]``: where changes leave a trace beside the catalogue."""

from typing import Annotated

from msgspec import Meta, Struct

from cachesvc.settings.bounds import GIB, KIB, MIB
from cachesvc.settings.connection import FilePath


class AuditConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[audit]``: the audit log as JSON lines; it is in the catalogue in any case."""

    # The file, made if missing, readable by its owner alone. Not set: none. Relative paths as for
    # store.path.
    file: FilePath | None = None
    # Bytes of a file that is full: it becomes FILE.1, and what was FILE.1 FILE.2. 64 KiB to 16 GiB.
    file_bytes_max: Annotated[int, Meta(ge=64 * KIB, le=16 * GIB)] = 16 * MIB
    # Full files that stay. 1 to 1,000.
    files_kept: Annotated[int, Meta(ge=1, le=1_000)] = 10
