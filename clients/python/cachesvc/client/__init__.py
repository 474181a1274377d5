"""The client for sync tasks.

    async with Client("127.0.0.1:7070") as client:
        async with client.subscribe(
            "billing", topics=["orders"], mode=Mode.FULL_AND_INCREMENTAL
        ) as stream:
            async for batch in stream:
                for record in batch:
                    print(record.offset, record.value)
                await stream.commit(batch.position)

A stream keeps itself connected; see `Stream` for what it promises, and
`cachesvc.client.errors` for the tree of errors.
"""

from cachesvc.client.batch import Batch
from cachesvc.client.client import Client
from cachesvc.client.errors import (
    AccessDenied,
    ClientError,
    DamagedBatch,
    DataLoss,
    InvalidRequest,
    MissingLibrary,
    NotFound,
    Overloaded,
    PartitionRevoked,
    PositionNotDelivered,
    PreconditionFailed,
    ServiceFault,
    ShuttingDown,
    SourceUnreachable,
    StreamBusy,
    StreamClosed,
    SubscriptionDeleted,
    SubscriptionReset,
    SubscriptionTakenOver,
    Superseded,
    TimedOut,
    Unavailable,
)
from cachesvc.client.events import (
    CaughtUp,
    Ended,
    Event,
    FellBehind,
    Gap,
    GapCause,
    MiningState,
    PartitionAdded,
    PartitionProgress,
    PartitionsAssigned,
    PartitionsRevoked,
    Progress,
    SnapshotStart,
    Started,
)
from cachesvc.client.fields import FieldType, parse_path
from cachesvc.client.header_keys import header_key_bytes
from cachesvc.client.members import Member
from cachesvc.client.models import JsonType, ModelField, TopicModel
from cachesvc.client.payload import RECORD_SCHEMA
from cachesvc.client.positions import Position, Positions, PositionsLike, TopicPartition
from cachesvc.client.record import Header, Record, TimestampType
from cachesvc.client.request_ids import request_id
from cachesvc.client.settings import (
    ArrowCompression,
    AtTimestamp,
    Bootstrap,
    Earliest,
    Encoding,
    GapPolicy,
    Latest,
    Mode,
    Projection,
    Sharing,
    Start,
    StreamSettings,
    Tls,
)
from cachesvc.client.stream import Stream
from cachesvc.client.subscriptions import (
    Lag,
    PartitionOffsets,
    Subscription,
    SubscriptionPartition,
)

__all__ = [
    "RECORD_SCHEMA",
    "AccessDenied",
    "ArrowCompression",
    "AtTimestamp",
    "Batch",
    "Bootstrap",
    "CaughtUp",
    "Client",
    "ClientError",
    "DamagedBatch",
    "DataLoss",
    "Earliest",
    "Encoding",
    "Ended",
    "Event",
    "FellBehind",
    "FieldType",
    "Gap",
    "GapCause",
    "GapPolicy",
    "Header",
    "InvalidRequest",
    "JsonType",
    "Lag",
    "Latest",
    "Member",
    "MiningState",
    "MissingLibrary",
    "Mode",
    "ModelField",
    "NotFound",
    "Overloaded",
    "PartitionAdded",
    "PartitionOffsets",
    "PartitionProgress",
    "PartitionRevoked",
    "PartitionsAssigned",
    "PartitionsRevoked",
    "Position",
    "PositionNotDelivered",
    "Positions",
    "PositionsLike",
    "PreconditionFailed",
    "Progress",
    "Projection",
    "Record",
    "ServiceFault",
    "Sharing",
    "ShuttingDown",
    "SnapshotStart",
    "SourceUnreachable",
    "Start",
    "Started",
    "Stream",
    "StreamBusy",
    "StreamClosed",
    "StreamSettings",
    "Subscription",
    "SubscriptionDeleted",
    "SubscriptionPartition",
    "SubscriptionReset",
    "SubscriptionTakenOver",
    "Superseded",
    "TimedOut",
    "TimestampType",
    "Tls",
    "TopicModel",
    "TopicPartition",
    "Unavailable",
    "header_key_bytes",
    "parse_path",
    "request_id",
]
