"""``[jobs]``: when scheduled work is done, and how much at a time."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from cachesvc.settings.bounds import GIB, KIB, MIB, Interval
from cachesvc.settings.connection import TimeOfDay
from cachesvc.settings.validation import setting_error


class CompactConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[jobs.compact]``: merges small adjacent segments."""

    # Seconds between runs. 0.1 to 86,400.
    interval_s: Interval = 600.0
    # HH:MM in jobs.time_zone: once a day then, instead of at intervals.
    daily_at: TimeOfDay | None = None
    # Bytes up to which segments are merged. 1 KiB to 16 GiB.
    segment_bytes_target: Annotated[int, Meta(ge=KIB, le=16 * GIB)] = 256 * MIB
    # Seconds since its newest record was mined after which a segment that can be merged with
    # nothing is rewritten by itself, once, to be as small as merged ones. 0 to 31,536,000.
    lone_age_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 10_800.0


class ExpireConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[jobs.expire]``: applies retention."""

    # Seconds between runs. 0.1 to 86,400.
    interval_s: Interval = 600.0


class SweepConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[jobs.sweep]``: deletes files that no manifest names."""

    # Seconds between runs. 0.1 to 86,400.
    interval_s: Interval = 600.0
    # Seconds that such a file stays, so that whoever reads it can finish. 0 to 86,400.
    grace_s: Annotated[float, Meta(ge=0, le=86_400)] = 600.0
    # Seconds that damaged files stay in quarantine/. 0 to 315,360,000; 0: until somebody deletes
    # them.
    quarantine_age_s: Annotated[float, Meta(ge=0, le=315_360_000)] = 2_592_000.0


class ScrubConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[jobs.scrub]``: reads all segments and journals, and repairs those that are damaged."""

    # Seconds between runs. 60 to 31,536,000.
    interval_s: Annotated[float, Meta(ge=60, le=31_536_000)] = 604_800.0
    # HH:MM in jobs.time_zone: once a day then, instead of at intervals.
    daily_at: TimeOfDay | None = None
    # Bytes that are read in a second, on average. 64 KiB to 16 GiB.
    bytes_per_s_max: Annotated[int, Meta(ge=64 * KIB, le=16 * GIB)] = 16 * MIB


class MoveConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[jobs.move]``: brings segments to the stores to which topics were moved."""

    # Seconds between runs. 60 to 31,536,000.
    interval_s: Annotated[float, Meta(ge=60, le=31_536_000)] = 3_600.0
    # Bytes that are copied in a second, on average. 64 KiB to 16 GiB.
    bytes_per_s_max: Annotated[int, Meta(ge=64 * KIB, le=16 * GIB)] = 64 * MIB


class BackupConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[jobs.backup]``: copies of the whole store, each as of one moment."""

    # Where they are, on the service's machine; not set: there are none. Relative as store.path is.
    directory: str | None = None
    # Seconds between them; 0: on demand alone. Up to 31,536,000.
    interval_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 0.0
    # HH:MM in jobs.time_zone: once a day then, instead of at intervals. Needs a directory.
    daily_at: TimeOfDay | None = None
    # How many stay, the newest. 1 to 1,000.
    kept: Annotated[int, Meta(ge=1, le=1_000)] = 3
    # Whether what lies in other stores is copied too; else a backup only names it.
    other_stores: bool = False


class ModelsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[jobs.models]``: infers the models of topics from new records."""

    # Seconds between refreshes of a connection with fewer than 10,000 models. 0.1 to 86,400.
    interval_s: Interval = 3_600.0
    # Records that a refresh looks at, per topic; the newest. 1 to 1,000,000.
    records_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000


class SnapshotConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[jobs.snapshot]``: makes snapshots of the topics that connections name for it."""

    # Seconds between runs. 1 to 31,536,000.
    interval_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 86_400.0
    # HH:MM in jobs.time_zone: once a day then, instead of at intervals.
    daily_at: TimeOfDay | None = None
    # How many stay of each partition, the newest. 1 to 100.
    kept: Annotated[int, Meta(ge=1, le=100)] = 2
    # Bytes of DuckDB's memory, for the keys; the process may take 768 MiB beside that. 64 MiB to
    # 1 TiB.
    memory_bytes_max: Annotated[int, Meta(ge=64 * MIB, le=1024 * GIB)] = 512 * MIB
    # Bytes of temporary files in the store's directory, for keys that do not fit in memory; 0:
    # none. Up to 1 TiB.
    spill_bytes_max: Annotated[int, Meta(ge=0, le=1024 * GIB)] = 16 * GIB
    # Seconds that the snapshot of one partition may take. 1 to 604,800.
    time_s_max: Annotated[float, Meta(ge=1, le=604_800)] = 14_400.0
    # Threads that make one. 1 to 256.
    threads: Annotated[int, Meta(ge=1, le=256)] = 2


class JobsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[jobs]``: one table for each scheduled job."""

    # Where the clock on the wall is that times of day mean: an IANA name such as "Europe/Berlin".
    # Not set: this machine's local time.
    time_zone: str | None = None
    compact: CompactConfig = CompactConfig()
    expire: ExpireConfig = ExpireConfig()
    sweep: SweepConfig = SweepConfig()
    scrub: ScrubConfig = ScrubConfig()
    move: MoveConfig = MoveConfig()
    backup: BackupConfig = BackupConfig()
    models: ModelsConfig = ModelsConfig()
    snapshot: SnapshotConfig = SnapshotConfig()


def zone_of(jobs: JobsConfig) -> ZoneInfo | None:
    """The time zone of times of day; None is this machine's.

    Raises:
        ZoneInfoNotFoundError: There is none of that name, or no time zone database.
        ValueError: It is no such name.
        OSError: Likewise.
    """
    return None if jobs.time_zone is None else ZoneInfo(jobs.time_zone)


def check_jobs(jobs: JobsConfig, source: str) -> None:
    """What the types do not say.

    Raises:
        InvalidConfig: The time zone is unknown here, or backups have no place.
    """
    try:
        zone_of(jobs)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        problem = f"this machine knows no time zone {jobs.time_zone!r}"
        advice = (
            "give an IANA name such as Europe/Berlin, or UTC; the names come from the system's "
        )
        advice += "package tzdata"
        raise setting_error(source, "jobs.time_zone", problem, advice) from error
    if jobs.backup.daily_at is not None and jobs.backup.directory is None:
        advice = "say where backups are to be"
        raise setting_error(source, "jobs.backup.directory", "is missing", advice)
