"""Kafka as a source, on aiokafka's connections, requests and record decoder.

Layers, lowest first: ``topic_metadata`` and ``leader_epochs`` (requests that aiokafka lacks),
``security`` (TLS and authentication; ``failures`` says what is wrong with them), ``links``
(connections to brokers), ``cluster`` (the brokers of one cluster, and what they are asked),
``record_batches`` (what a fetch brought, decoded), ``fetch_state`` (what is known of a partition),
``survey`` (what has to be asked), ``fetcher`` (the ``SourceReader``) and ``catalogue`` (the
``SourceCatalogue``). ``producing`` writes, by the same connections: it is here because all that
knows aiokafka is.

``AIOKafkaConsumer`` is not used: it makes an object per record that nobody looks at, which costs as
much as decoding; it forgets all positions and all prefetched data whenever the set of partitions
changes; it skips a record that does not fit into a fetch; and it lets the broker create the topics
that it asks for.
"""

from cachesvc.mining.kafka.catalogue import KafkaCatalogue
from cachesvc.mining.kafka.fetcher import KafkaSource
from cachesvc.mining.kafka.security import Security, security_of
from cachesvc.mining.kafka.settings import KafkaSettings

__all__ = ["KafkaCatalogue", "KafkaSettings", "KafkaSource", "Security", "security_of"]
