"""The settings of a task: what they are, their units, defaults and ranges.

A task file is a TOML file of this shape; ``task_file`` reads it. Every table is a frozen struct
that refuses unknown fields, so a typing error never falls back to a default in silence. Units are
the last word of a name. docs/sync-tasks.md is the reference.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

KIB = 1024
MIB = 1024 * KIB

Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}\Z")]
Seconds = Annotated[float, Meta(ge=0.001, le=86_400)]
Share = Annotated[float, Meta(gt=0, le=1)]


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[source.tls]``: how to trust the service, and how it trusts the task."""

    # PEM files. Without ca_file the authorities that come with gRPC are trusted.
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    # The name that the service's certificate carries, where that is not its address.
    server_name: str | None = None


class StartPosition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``source.start``: where one partition starts."""

    topic: str
    partition: Annotated[int, Meta(ge=0)]
    offset: Annotated[int, Meta(ge=0)]


class SourceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[source]``: what a task reads."""

    # HOST:PORT of the service.
    service: str
    # FULL: from the earliest offset to the source's end as it was at the start, then the task ends.
    # INCREMENTAL: from the latest offset. FULL_AND_INCREMENTAL: from the earliest offset, or from
    # the latest once a full sync was done. A stored position comes before all of this.
    mode: Literal["FULL", "INCREMENTAL", "FULL_AND_INCREMENTAL"]
    # May be left out where the service has one connection.
    connection: str = ""
    # Exactly one of these: names, or an RE2 expression that matches whole names.
    topics: tuple[str, ...] = ()
    topic_expression: str = ""
    # The name under which the service keeps the position; the task's without it.
    subscription: Name | Literal[""] = ""
    # "shared" has tasks with the same subscription share its partitions, "exclusive" has the newest
    # take it over. Shared ones have sinks that keep no positions, or PostgreSQL.
    sharing: Literal["exclusive", "shared"] = "exclusive"
    # What a task that shares is called among the others; made up without it.
    member: Name | Literal[""] = ""
    # Where to start as long as no position is stored: "earliest", "latest", a time (ISO 8601, or
    # milliseconds since the epoch), or a list of positions. Without it the mode says.
    start: str | int | tuple[StartPosition, ...] | None = None
    # Only records that meet this, by the service's filters, such as 'value.op == "c"'; the others
    # never come here. Not with "auto", for the broker does not filter.
    filter: str = ""
    # "snapshot" begins each partition that has no stored position with its snapshot, the latest
    # record per key, instead of its earliest offset. Not with "auto", INCREMENTAL or a start.
    bootstrap: Literal["none", "snapshot"] = "none"
    # What to do at a range that neither the cache nor the source can give any more.
    gaps: Literal["stop", "go-on"] = "stop"
    # Where the token is found that the service wants: an environment variable, or a file.
    token_env: str | None = None
    token_file: str | None = None
    tls: TlsConfig | None = None
    # "cache" waits for a service that is away, "auto" reads the broker meanwhile.
    source: Literal["cache", "auto"] = "cache"
    # Seconds that the service has to be away before "auto" reads the broker. 0.001 to 86,400.
    outside_after_s: Seconds = 30.0
    # The broker for "auto": a connection as in the service's own file, without its name.
    kafka: dict[str, Any] | None = None
    # The file where "auto" keeps the position while the service cannot be told it.
    positions_file: str | None = None


class BatchConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[batch]``: what the sink gets at once; the first limit that is reached counts.

    A task holds two deliveries at most: one that is being written, one that is being filled.
    """

    # Records. 1 to 10,000,000.
    records_max: Annotated[int, Meta(ge=1, le=10_000_000)] = 20_000
    # Bytes as decoded. 1 KiB to 4 GiB; a single larger record travels alone.
    bytes_max: Annotated[int, Meta(ge=KIB, le=4096 * MIB)] = 16 * MIB
    # Seconds that a record waits for others. 0 to 3,600.
    wait_s_max: Annotated[float, Meta(ge=0, le=3_600)] = 0.5


class RetryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[retry]``: how often to try again what may pass; waits are random, below a bound."""

    # The bound before the first attempt, which doubles with each. 0.001 to 86,400 seconds.
    delay_first_s: Seconds = 0.2
    # Where it stops doubling. 0.001 to 86,400 seconds.
    delay_max_s: Seconds = 30.0
    # Seconds of trouble without a break after which the task ends; never without it.
    give_up_after_s: Annotated[float, Meta(ge=0, le=31_536_000)] | None = None


class ErrorsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[errors]``: what becomes of single records that are refused for good."""

    # "stop" ends the task at the record; "dead-letter" keeps it apart and goes on.
    policy: Literal["stop", "dead-letter"] = "stop"
    # The directory that keeps them; "dead-letter" needs it or the next.
    dead_letters: str | None = None
    # Instead, for a task with a sink of kind "kafka": a topic of the sink's cluster.
    dead_letter_topic: Name | None = None
    # The task ends where more lie there than this; of a topic, where a run refused more. 0 to
    # 1,000,000,000.
    refused_max: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 1_000
    # And where more than this share of a run's records was refused, from the hundredth record on.
    refused_share_max: Share | None = None


class AlarmsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[alarms]``: who is told of what somebody has to know."""

    # http or https, without user and password: gets what is raised and cleared, as JSON.
    webhook_url: str
    # Where its bearer token is found: an environment variable, or a file.
    webhook_token_env: str | None = None
    webhook_token_file: str | None = None
    # Seconds that it may take to answer. 0.1 to 60.
    webhook_timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 10.0


class TaskConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task: the whole file."""

    # 1 to 249 characters of [a-zA-Z0-9._-].
    name: Name
    source: SourceConfig
    # Tables of their kinds; each has a ``kind``.
    transforms: tuple[dict[str, Any], ...] = ()
    # The table of a kind of sink; it has a ``kind``.
    sink: dict[str, Any] = msgspec.field(default_factory=dict)
    batch: BatchConfig = BatchConfig()
    retry: RetryConfig = RetryConfig()
    errors: ErrorsConfig = ErrorsConfig()
    # Nobody is told without it; the log and ``status`` have it all the same.
    alarms: AlarmsConfig | None = None
    # Seconds that the delivery in hand may take once the task is to stop. 0 to 3,600.
    stop_timeout_s: Annotated[float, Meta(ge=0, le=3_600)] = 10.0

    @property
    def subscription(self) -> str:
        """Under which name the service keeps its position."""
        return self.source.subscription or self.name
