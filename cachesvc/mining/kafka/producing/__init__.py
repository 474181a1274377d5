"""Writing to a cluster: what sync tasks with Kafka as their target need, and tests of connections.

Layers, lowest first: ``answers`` (what a broker's word means), ``requests`` (what aiokafka lacks),
``form``, ``arrow_encoding`` and ``encoding`` (columns into record batches), ``batches`` (those
under way), ``target_topics`` (what is there, and making what is not), ``trial`` (a write that
leaves nothing behind), ``transactions`` (the coordinator's side), ``producer`` (all of it
together), ``reading`` (what transactions have left in a small topic), ``group_offsets`` (how far it
was dealt with) and ``deleting`` (what is not wanted there any more).

``AIOKafkaProducer`` is not used: it logs in by Kerberos with what the process has by default,
compresses on the event loop, drops what a broker says about single records, and tries an idempotent
batch again for ever; and after one refused batch all its later ones are out of sequence.
"""

from cachesvc.mining.kafka.producing.answers import RecordRefused, RecordsRefused
from cachesvc.mining.kafka.producing.arrow_encoding import ArrowColumns
from cachesvc.mining.kafka.producing.batches import Part
from cachesvc.mining.kafka.producing.deleting import delete_before
from cachesvc.mining.kafka.producing.encoding import AnyColumns, Columns, encode
from cachesvc.mining.kafka.producing.form import CODECS, Form
from cachesvc.mining.kafka.producing.group_offsets import GroupOffset
from cachesvc.mining.kafka.producing.producer import Producer, ProducerSettings
from cachesvc.mining.kafka.producing.reading import chunks_of, committed, read_committed
from cachesvc.mining.kafka.producing.target_topics import NewTopic, TargetTopic, TargetTopics
from cachesvc.mining.kafka.producing.trial import try_writing

__all__ = [
    "CODECS",
    "AnyColumns",
    "ArrowColumns",
    "Columns",
    "Form",
    "GroupOffset",
    "NewTopic",
    "Part",
    "Producer",
    "ProducerSettings",
    "RecordRefused",
    "RecordsRefused",
    "TargetTopic",
    "TargetTopics",
    "chunks_of",
    "committed",
    "delete_before",
    "encode",
    "read_committed",
    "try_writing",
]
