-- Statements on snapshots. In the manner of `queries.sql`, which has their tables.

-- name: list_snapshots
select connection, topic, incarnation, "partition", base_offset, end_offset, complete_from_offset,
    record_count, read_count, bytes, min_timestamp_ms, max_timestamp_ms, created_ms, path, store
from snapshots order by connection, topic, incarnation, "partition", end_offset, path;

-- name: insert_snapshot
insert into snapshots values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: delete_snapshot
-- Answers it where it was there.
delete from snapshots where path = ? returning path;

-- name: list_snapshot_reads
select subscription, connection, topic, incarnation, "partition", path, recovers
from snapshot_reads order by all;

-- name: put_snapshot_read
insert into snapshot_reads values (?, ?, ?, ?, ?, ?, ?)
on conflict do update set path = excluded.path, recovers = excluded.recovers;

-- name: forget_snapshot_read
delete from snapshot_reads
where subscription = ? and connection = ? and topic = ? and incarnation = ? and "partition" = ?;
