"""The settings of a Kafka target: ``[sink]`` of a task file. docs/kafka-target.md explains them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from cachesvc.settings.connection import (
    Acks,
    Addresses,
    Compression,
    FilePath,
    KerberosConfig,
    Name,
    SaslConfig,
    TlsConfig,
)

TopicName = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9._-]{1,249}\Z",
        description="a topic's name: 1 to 249 of A-Z, a-z, 0-9, ., _ and -",
    ),
]
Template = Annotated[
    str,
    Meta(
        pattern=r"\A([A-Za-z0-9._-]|\{topic\}|\{connection\}){1,249}\Z",
        description="a topic's name, in which {topic} and {connection} stand for the source's",
    ),
]
Count = Annotated[int, Meta(ge=1, le=100_000)]
Seconds = Annotated[float, Meta(gt=0, le=900)]


class KafkaSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[sink]`` with ``kind = "kafka"``."""

    # DB host: IP_Address:Port_Number of the brokers, one or more. Or a connection, see there.
    bootstrap_servers: Addresses | None = None
    # Encryption, user name and password, Kerberos authentication: as in [[connections]].
    tls: TlsConfig | None = None
    sasl: SaslConfig | None = None
    kerberos: KerberosConfig | None = None
    # Instead of all of these: a connection of type "target" or "both" in a service's own file. Its
    # [connections.target] counts too, where the settings below are not given.
    connection: Name | None = None
    connection_file: FilePath | None = None

    # The topic that is written to. The default has the name of the source's, so it is for another
    # cluster: in the same one a task would read what it writes.
    topic: Template = "{topic}"
    # Topics that the task reads from the same cluster, and may write to all the same.
    allow_source_topics: tuple[TopicName, ...] = ()
    # "key": by the record's key, as Kafka's own producer does; without one, the source's partition
    # modulo the target's. "keep": the number of the source's partition.
    partitioner: Literal["key", "keep"] = "key"
    # "source": a record's own time; "now": that of its writing, by this machine's clock.
    timestamp: Literal["source", "now"] = "source"

    # ACK confirmation mechanism. "none": do not confirm; "leader": write to master partition;
    # "majority" (default): write to most ISR partitions; "all": write to all ISR partitions.
    acks: Acks | None = None
    # Message compression type: "none" (default), "gzip", "snappy", "lz4", "zstd".
    compression: Compression | None = None
    # Ignore push message exception: off (default), a record that Kafka refuses ends the task; on,
    # [errors] decides: with policy = "dead-letter" it is kept apart and the task goes on behind it.
    ignore_push_errors: bool | None = None
    # Whether what is tried again is stored once all the same; by default where acks allow it.
    idempotent: bool | None = None
    # Whether records and the source's positions are written in one transaction of Kafka's, so that
    # whoever reads committed records gets each once.
    exactly_once: bool = False
    # Where the positions are kept then; may be shared by tasks.
    positions_topic: TopicName = "cachesvc-sync-positions"

    # A topic that is missing is created; automatically created it has 1 partition and 1 copy.
    partitions: Count = 1
    replicas: Annotated[int, Meta(ge=1, le=1_000)] = 1
    # Further settings of a topic that is created, by Kafka's names.
    topic_config: Mapping[str, str] = {}

    # Size of a record batch before compression; less where the topic takes less.
    batch_bytes_max: Annotated[int, Meta(ge=1_024, le=64 << 20)] = 1 << 20
    # How long a batch is tried before the target counts as unavailable.
    delivery_timeout_s: Seconds = 60.0
    # After which the cluster aborts a transaction by itself; at most its
    # transaction.max.timeout.ms, which is 15 minutes unless set.
    transaction_timeout_s: Seconds = 60.0
