"""How to talk to one cluster."""

from dataclasses import dataclass

from cachesvc.mining.kafka.security import PLAINTEXT, Security


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """How to talk to one cluster.

    Attributes:
        bootstrap_servers: HOST:PORT each.
        security: What the listeners ask for.
        client_id: Under what name brokers log and meter this client.
        connect_timeout_s: For connecting, which includes the first exchange.
        request_timeout_s: How long a broker that was asked may be silent; over ``fetch_wait_s``.
        answer_timeout_s: For one call of a catalogue, retries included, throttling not.
        fetch_bytes_max: Fetched but not yet polled, over all partitions. A single record batch
            that is larger is fetched all the same. One fetch may ask for less (``FetchSize``).
        partition_bytes_max: In one fetch of one partition; likewise.
        fetch_wait_s: How long the broker may wait for records before it answers without any.
        metadata_interval_s: Between looks at leaders, topic ids and idle high watermarks.
    """

    bootstrap_servers: tuple[str, ...]
    security: Security = PLAINTEXT
    client_id: str = "cachesvc"
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 15.0
    answer_timeout_s: float = 10.0
    fetch_bytes_max: int = 50 << 20
    partition_bytes_max: int = 8 << 20
    fetch_wait_s: float = 0.5
    metadata_interval_s: float = 5.0
