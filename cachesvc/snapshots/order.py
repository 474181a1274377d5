"""What the process is told that makes a snapshot, and what it answers, as lines of JSON."""

import msgspec
from msgspec import Struct

from cachesvc.bounds import Bounds
from cachesvc.model import PartitionId


class Order(Struct, frozen=True):
    """A snapshot to make.

    Attributes:
        store: The directory that has the files, and takes the snapshot.
        partition: Whose it is.
        base_offset: Where what it covers begins.
        end_offset: Where that ends.
        previous: The file of the snapshot that it continues, relative to ``store``; may be empty.
        segments: The files of the log, likewise, in offset order.
        read_from: Where the records of those begin to count.
        complete_from_offset: Of the snapshot.
        read_before: Records that the one that it continues had read.
        debezium: Whether ``op = d`` deletes a key.
        now_ms: The present.
    """

    store: str
    partition: PartitionId
    base_offset: int
    end_offset: int
    previous: str
    segments: list[str]
    read_from: int
    complete_from_offset: int
    read_before: int
    debezium: bool
    now_ms: int


class Task(Struct, frozen=True):
    """An order, and what it may take.

    Attributes:
        order: What to make.
        bounds: Of the process.
        spill: The directory of temporary files.
    """

    order: Order
    bounds: Bounds
    spill: str


class Step(Struct, frozen=True, tag="step"):
    """How far it is: pieces of files done, of all that are read twice."""

    done: int
    total: int


class Made(Struct, frozen=True, tag="made"):
    """It is done: the file is durable, and named by nobody; fields as in ``Snapshot``."""

    path: str
    record_count: int
    bytes: int
    min_timestamp_ms: int
    max_timestamp_ms: int
    read_count: int


class Failed(Struct, frozen=True, tag="failed"):
    """It cannot be done: DAMAGED_FILE, FILE_GONE, MEMORY_MAX, UNWRITABLE or INTERNAL, and why."""

    reason: str
    message: str


Answer = Step | Made | Failed

encode = msgspec.json.Encoder().encode
decode_task = msgspec.json.Decoder(Task).decode
decode_answer = msgspec.json.Decoder(Answer).decode
