"""Settings of the service: what they are, their units, defaults and ranges, and what fits together.

Every section is a frozen struct that refuses unknown fields, so a typing error never falls back to
a default in silence. A value can be encoded with ``msgspec.json`` and pickled, and what goes to a
reader process is the same struct that came out of the file. ``settings.layers`` builds a ``Config``
from file, environment and flags.

Units are the last word of a name: ``_bytes_max``, ``_records_max``, ``_s`` (seconds; fractions are
fine). docs/configuration.md is the reference.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from cachesvc.errors import InvalidConfig
from cachesvc.policy.addresses import is_loopback, parse_address
from cachesvc.settings.access import AccessConfig, check_access, check_access_listen
from cachesvc.settings.alarms import AlarmsConfig, check_alarms
from cachesvc.settings.audit import AuditConfig
from cachesvc.settings.bounds import GIB, KIB, MIB, Age, Budget, CacheBytes, Interval, TopicBytes
from cachesvc.settings.callers import CallersConfig
from cachesvc.settings.connection import ConnectionConfig, check_connection
from cachesvc.settings.jobs import JobsConfig, check_jobs
from cachesvc.settings.stores import StoreEntry, check_stores
from cachesvc.settings.traces import TracesConfig, check_traces
from cachesvc.settings.validation import setting_error

MASK = "********"
# The one place that knows secrets: a field whose last word is one of these is never shown.
SECRET_WORDS = frozenset({"password", "secret", "token", "passphrase"})


class StoreConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[store]``: where the log is kept, how much of it in memory, when journals are sealed."""

    # The store's directory, made if missing. Required. Relative to the directory of the file, or
    # to the working directory when it comes from the environment or a flag.
    path: str = ""
    # Bytes of the newest frames kept in memory, over all partitions. 64 KiB to 1 TiB.
    memory_bytes_max: CacheBytes = 64 * MIB
    # Bytes of older frames, decoded and encoded once and shared by subscribers. 64 KiB to 1 TiB.
    chunk_cache_bytes_max: CacheBytes = 32 * MIB
    # Bytes of sealed journals kept on disk so that catching up stays fast; 0: none. Up to 1 PiB.
    warm_bytes_max: Annotated[int, Meta(ge=0, le=1024 * 1024 * GIB)] = 8 * GIB
    # Bytes of full journals that may wait for one store, because it is away or slow; then nothing
    # more is mined for it. 1 MiB to 1 PiB.
    waiting_bytes_max: Annotated[int, Meta(ge=MIB, le=1024 * 1024 * GIB)] = 16 * GIB
    # A journal is sealed at the first of these. Bytes: 1 KiB to 4 GiB; records: 1 to 100 million;
    # age of the journal in seconds: 0.1 to 86,400.
    segment_bytes_max: Annotated[int, Meta(ge=KIB, le=4 * GIB)] = 64 * MIB
    segment_records_max: Annotated[int, Meta(ge=1, le=100_000_000)] = 1_000_000
    segment_age_s_max: Interval = 3_600.0
    # One of at least so many bytes (1 KiB to 4 GiB) is sealed at this age already (0.1 to 86,400
    # seconds). A smaller one waits, so that topics with little traffic do not become thousands of
    # files.
    segment_bytes_min: Annotated[int, Meta(ge=KIB, le=4 * GIB)] = MIB
    segment_age_s_min: Interval = 300.0
    # Bytes that the service keeps in its directory: segments, journals, files that wait for the
    # sweep. What is more is shed: the largest topic loses its oldest segment, again and again. Not
    # set: no budget. 1 MiB to 1 PiB.
    bytes_max: Budget | None = None


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[server]``: the gRPC listener."""

    # HOST:PORT; an IPv6 host in brackets; port 0 lets the system choose one.
    listen: str = "127.0.0.1:7070"
    # HOST:PORT where operators are answered, and then no longer at listen; not set: there.
    admin_listen: str | None = None
    # PEM files; both or none. Relative paths as for store.path.
    tls_certificate_file: str | None = None
    tls_key_file: str | None = None
    # PEM file with authorities: whoever connects shows a certificate of one of them, besides.
    tls_client_ca_file: str | None = None
    # Allows listening beyond loopback without TLS, and without access control.
    insecure: bool = False
    # Seconds that a clean end may take. 0 to 3,600.
    shutdown_grace_s: Annotated[float, Meta(ge=0, le=3_600)] = 10.0
    # Seconds between progress events on a quiet stream. 0.05 to 60. With more than 1,000 streams
    # for each of these seconds they are further apart, up to 5 seconds.
    progress_interval_s: Annotated[float, Meta(ge=0.05, le=60)] = 2.0
    # Seconds for which a member of a shared subscription may commit what it was delivered of a
    # partition that it loses. 0.1 to 3,600.
    member_release_s: Annotated[float, Meta(ge=0.1, le=3_600)] = 10.0
    # Seconds for which the client of a member may take nothing before others get its partitions. 1
    # to 86,400.
    member_stall_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0

    # Bytes of memory in which tasks of this machine are handed records, made when there are some
    # and given back when nobody uses them; 0: they get them in messages. Up to 1 TiB.
    shared_memory_bytes_max: Annotated[int, Meta(ge=0, le=1024 * GIB)] = 128 * MIB

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of them."""
        return (self.listen,) if self.admin_listen is None else (self.listen, self.admin_listen)


class HttpConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[http]``: the listener for metrics, probes and the pages in the browser."""

    # HOST:PORT, as server.listen; "": nowhere. Not set: 127.0.0.1:7071 if it is free, or nowhere.
    listen: str | None = None
    # Allows listening beyond loopback: whoever reaches it reads names of topics and subscriptions,
    # and, where there are pages and no access control, records.
    insecure: bool = False
    # Whether it speaks TLS, with the certificate of [server]. Not set: beyond loopback, if there is
    # one.
    tls: bool | None = None
    # Topics with series of their own; all others of a connection are told as one, "(other)". So for
    # subscriptions. 1 to 100,000.
    series_max: Annotated[int, Meta(ge=1, le=100_000)] = 2_000
    # Whether there are pages for browsers. Not set: on loopback, and where access control is on.
    pages: bool | None = None


class MiningConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[mining]``: reader processes and what they may hold."""

    # Reader processes that the service starts for each connection; 0: only readers started by
    # others mine. Up to 64.
    readers: Annotated[int, Meta(ge=0, le=64)] = 1
    # Bytes of appends that a reader may have unacknowledged. 64 KiB to 4 GiB.
    append_window_bytes_max: Annotated[int, Meta(ge=64 * KIB, le=4 * GIB)] = 32 * MIB
    # Of the time in which a reader has newer records to mine, what older ranges may take that a
    # subscriber asks for. 0.01 to 1.
    backfill_share: Annotated[float, Meta(ge=0.01, le=1)] = 0.25
    # Bytes of a record: key, value and headers. A larger one is turned away as TOO_LARGE. 1 KiB to
    # 1 GiB; a record takes up to six times its size of a reader's memory for a moment.
    record_bytes_max: Annotated[int, Meta(ge=KIB, le=GIB)] = 128 * MIB
    # Records in one append. 1 to 1,000,000.
    batch_records_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    # Seconds between looks for new topics and partitions. 0.1 to 86,400.
    metadata_interval_s: Interval = 10.0
    # Seconds that the service goes on asking brokers that are away before it says so. 0.5 to 300.
    answer_timeout_s: Annotated[float, Meta(ge=0.5, le=300)] = 10.0
    # Seconds after which a reader that was not heard of loses its topics. Readers report every
    # second, so: 2 to 3,600.
    reader_timeout_s: Annotated[float, Meta(ge=2, le=3_600)] = 10.0
    # Seconds without a stream or a commit of any subscription after which mining of a topic is
    # paused. 1 to 31,536,000 (a year).
    idle_topic_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 7_200.0
    # Seconds between moves of topics to even out what readers have to do.
    rebalance_interval_s: Interval = 30.0
    # HOST:PORT where readers of other machines join; not set: readers of this machine only.
    listen: str | None = None
    # What those readers have to show: the name of an environment variable, or a file. One of them
    # at most; beyond loopback one of them is needed, and TLS.
    join_token_env: str | None = None
    join_token_file: str | None = None


class RetentionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[retention]``: how long and how many records stay."""

    # What an age is counted from: "mined", when it was mined, whatever its timestamp says, or
    # "record", the record's timestamp.
    clock: Literal["mined", "record"] = "mined"
    # Seconds that what is cached stays, counted as the clock says. 1 to 3,153,600,000 (a hundred
    # years).
    age_s: Age = 259_200.0
    # Seconds from mining that what a subscription has still to read stays, however old it is by the
    # clock and however much its topic holds; not set: as age_s.
    unread_age_s: Age | None = None
    # Bytes of each topic that stay, over all partitions: the newest. Not set: any. 1 KiB to 1 PiB.
    topic_bytes_max: TopicBytes | None = None
    # Records of each topic that stay, likewise. Not set: any. 1 to 2^53.
    topic_records_max: Annotated[int, Meta(ge=1, le=1 << 53)] | None = None
    # Bytes of a topic up to which what a subscription has still to read stays, whatever
    # topic_bytes_max, topic_records_max and the budget of a store say. Not set: with unread_age_s
    # any, else none. 1 KiB to 1 PiB.
    unread_bytes_max: TopicBytes | None = None


class SqlConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[sql]``: what queries of operators may take, each in a process of its own."""

    # Whether there are any.
    enabled: bool = True
    # At a time. 1 to 64.
    queries_max: Annotated[int, Meta(ge=1, le=64)] = 2
    # Bytes of DuckDB's memory, per query; its process may take 768 MiB beside that. 64 MiB to
    # 1 TiB.
    memory_bytes_max: Annotated[int, Meta(ge=64 * MIB, le=1024 * GIB)] = 512 * MIB
    # Bytes of temporary files in the store's directory, per query, for what does not fit in memory;
    # 0: none. Up to 1 TiB.
    spill_bytes_max: Annotated[int, Meta(ge=0, le=1024 * GIB)] = 1 * GIB
    # Bytes of segments in other stores that are copied into the store's directory for a query, as
    # long as it runs; 0: none. Up to 1 PiB.
    fetch_bytes_max: Annotated[int, Meta(ge=0, le=1024 * 1024 * GIB)] = 4 * GIB
    # Seconds from a query's start until its last row is taken. 0.1 to 86,400.
    time_s_max: Interval = 60.0
    # Threads of a query. 1 to 256.
    threads: Annotated[int, Meta(ge=1, le=256)] = 2


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[log]``: what the process says about itself, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    # "text" for people, "json" for programs: one object a line.
    format: Literal["text", "json"] = "text"
    # Lines of one event about the same thing in ten seconds; more are counted. 0: all are written.
    repeats_max: Annotated[int, Meta(ge=0, le=10_000)] = 5


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one service."""

    store: StoreConfig = StoreConfig()
    server: ServerConfig = ServerConfig()
    http: HttpConfig = HttpConfig()
    mining: MiningConfig = MiningConfig()
    retention: RetentionConfig = RetentionConfig()
    jobs: JobsConfig = JobsConfig()
    alarms: AlarmsConfig = AlarmsConfig()
    callers: CallersConfig = CallersConfig()
    audit: AuditConfig = AuditConfig()
    sql: SqlConfig = SqlConfig()
    access: AccessConfig = AccessConfig()
    traces: TracesConfig = TracesConfig()
    log: LogConfig = LogConfig()
    stores: tuple[StoreEntry, ...] = ()
    connections: tuple[ConnectionConfig, ...] = ()


def check_fields(config: Config, source: str) -> None:
    """What the types do not say: addresses, connection names, contradictions.

    Args:
        config: What to check.
        source: Where it comes from, for messages: a file, a variable, a flag.

    Raises:
        InvalidConfig: A field is wrong; the message names the source, the field and what to do.
    """
    _check_address(config.server.listen, source, "server.listen")
    if config.server.admin_listen is not None:
        _check_address(config.server.admin_listen, source, "server.admin_listen")
    if config.http.listen:
        _check_address(config.http.listen, source, "http.listen")
    if config.http.tls and config.server.tls_certificate_file is None:
        advice = "set server.tls_certificate_file and server.tls_key_file, or leave it out"
        raise setting_error(source, "http.tls", "there is no certificate", advice)
    check_access(config.access, source)
    check_alarms(config.alarms, source)
    check_jobs(config.jobs, source)
    check_traces(config.traces, source)
    if config.mining.listen is not None:
        _check_address(config.mining.listen, source, "mining.listen")
    names: set[str] = set()
    for index, connection in enumerate(config.connections):
        field = f"connections[{index}]"
        if connection.name in names:
            problem = f"{connection.name!r} is the name of another connection"
            raise setting_error(source, f"{field}.name", problem, "choose a name of its own")
        names.add(connection.name)
        check_connection(connection, source, field)
    check_stores(config.stores, config.connections, source)


def http_speaks_tls(config: "Config") -> bool:
    """Whether the listener for metrics, probes and pages does."""
    if config.http.tls is not None:
        return config.http.tls
    address = config.http.listen
    if not address or config.server.tls_certificate_file is None:
        return False
    return not is_loopback(parse_address(address)[0])


def check_listen(
    server: ServerConfig, source: str = "server", access: AccessConfig | None = None
) -> None:
    """Refuses to listen beyond loopback without TLS or access control, unless ``insecure`` says so.

    Raises:
        InvalidConfig: As said, or only one half of a key pair, or TLS and ``insecure`` together.
    """
    certificate, key = server.tls_certificate_file, server.tls_key_file
    if (certificate is None) != (key is None):
        missing = "tls_certificate_file" if certificate is None else "tls_key_file"
        advice = "TLS needs a certificate and its key"
        raise setting_error(source, f"server.{missing}", "is missing", advice)
    if certificate is None and server.tls_client_ca_file is not None:
        advice = "set server.tls_certificate_file and server.tls_key_file, or leave it out"
        raise setting_error(source, "server.tls_client_ca_file", "needs TLS", advice)
    open_to_all = access is not None and access.enabled is False
    if certificate is not None and server.insecure and not open_to_all:
        advice = "leave out one of them; with access.enabled = false it lets everybody call"
        raise setting_error(source, "server.insecure", "contradicts TLS", advice)
    if access is not None:
        check_access_listen(access, server.addresses, server.insecure, source)
    if certificate is not None or server.insecure:
        return
    for field, address in (("listen", server.listen), ("admin_listen", server.admin_listen)):
        if address is not None and not is_loopback(parse_address(address)[0]):
            problem = f"{address} is beyond loopback without TLS"
            advice = "set server.tls_certificate_file and server.tls_key_file, or listen on "
            advice += "127.0.0.1, or accept plain text with server.insecure = true (--insecure)"
            raise setting_error(source, f"server.{field}", problem, advice)


def check_http_listen(http: HttpConfig, source: str = "http") -> None:
    """Refuses to show metrics beyond loopback, unless ``insecure`` says that it is meant.

    Raises:
        InvalidConfig: As said.
    """
    if not http.listen or http.insecure:
        return
    host, _ = parse_address(http.listen)
    if not is_loopback(host):
        problem = f"{http.listen} is beyond loopback, where everybody could read the metrics"
        advice = "listen on 127.0.0.1, or accept that with http.insecure = true"
        raise setting_error(source, "http.listen", problem, advice)


def check_mining_listen(config: Config, source: str = "mining") -> None:
    """Refuses to let readers of other machines join without TLS and a token.

    Raises:
        InvalidConfig: As said, or the token is given twice, or for nothing.
    """
    mining = config.mining
    variable, file = mining.join_token_env, mining.join_token_file
    if variable is not None and file is not None:
        advice = "leave out it or mining.join_token_env"
        raise setting_error(source, "mining.join_token_file", "gives the token twice", advice)
    if mining.listen is None:
        if variable is not None or file is not None:
            advice = "set it, or leave out the join token"
            raise setting_error(source, "mining.listen", "is missing", advice)
        return
    host, _ = parse_address(mining.listen)
    if is_loopback(host):
        return
    if config.server.tls_certificate_file is None:
        problem = f"{mining.listen} is beyond loopback without TLS"
        advice = "set server.tls_certificate_file and server.tls_key_file"
        raise setting_error(source, "mining.listen", problem, advice)
    if variable is None and file is None:
        problem = f"{mining.listen} is beyond loopback without a join token"
        advice = "set mining.join_token_env or mining.join_token_file"
        raise setting_error(source, "mining.listen", problem, advice)


def effective_config(config: Config) -> dict[str, Any]:
    """All settings as JSON types, defaults included, secrets masked."""
    return {key: _masked(key, value) for key, value in msgspec.to_builtins(config).items()}


def is_secret(name: str) -> bool:
    """Whether what a field of this name holds is never shown."""
    return name.rpartition("_")[2] in SECRET_WORDS


def _masked(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {inner: _masked(inner, item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(key, item) for item in value]
    return MASK if value is not None and is_secret(key) else value


def _check_address(address: str, source: str, field: str) -> None:
    try:
        parse_address(address)
    except InvalidConfig as error:
        raise InvalidConfig(f"{source}: {field}: {error}", metadata={"field": field}) from error
