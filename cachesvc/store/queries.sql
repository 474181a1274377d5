-- The catalogue's statements. Each begins with `-- name:`; lines of comment below it say what it is
-- for. Parameters are positional. `?` lists follow the order of the columns.

-- name: create_schema
-- The tables of format version 1. Applied at every opening: a catalogue from before a table was
-- added gets it then, which no older version minds.
create table if not exists meta (format_version integer not null, created_ms bigint not null);
-- How many changes there were: files beside the catalogue have the last ones once more.
create table if not exists changes (number bigint not null);
insert into changes select 0 where not exists (from changes);
create table if not exists topics (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    -- The newest epoch that was given to a reader.
    epoch bigint not null, created_ms bigint not null,
    primary key (connection, topic, incarnation)
);
create table if not exists partitions (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    "partition" integer not null,
    -- The lowest offset still cached; retention moves it up.
    log_start_offset bigint not null,
    primary key (connection, topic, incarnation, "partition")
);
create table if not exists segments (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    "partition" integer not null,
    base_offset bigint not null, end_offset bigint not null, record_count bigint not null,
    bytes bigint not null, min_timestamp_ms bigint not null, max_timestamp_ms bigint not null,
    created_ms bigint not null, level integer not null, path varchar not null,
    reject_count bigint not null, rejects_path varchar not null,
    -- When the newest range that was mined afterwards was sealed; 0 without any.
    backfilled_ms bigint not null,
    -- When the first and the last part of it were mined.
    oldest_mined_ms bigint not null, newest_mined_ms bigint not null,
    -- In which its files lie.
    store varchar not null default 'local',
    -- Of the file with its rejects; 0 where that is not known.
    rejects_bytes bigint not null default 0
);
-- For catalogues from before they were there.
alter table segments add column if not exists backfilled_ms bigint default 0;
alter table segments add column if not exists oldest_mined_ms bigint;
alter table segments add column if not exists newest_mined_ms bigint;
update segments set
    oldest_mined_ms = greatest(created_ms, backfilled_ms),
    newest_mined_ms = greatest(created_ms, backfilled_ms)
where newest_mined_ms is null;
alter table segments add column if not exists store varchar default 'local';
alter table segments add column if not exists rejects_bytes bigint default 0;
-- Where mining of a partition began; what lies before was never cached.
create table if not exists mined_from (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    "partition" integer not null, "offset" bigint not null,
    primary key (connection, topic, incarnation, "partition")
);
-- Files that the manifest named once; the sweep deletes them after a grace time.
create table if not exists retired_files (
    path varchar not null, retired_ms bigint not null,
    store varchar not null default 'local',
    -- 0 where that is not known.
    bytes bigint not null default 0
);
alter table retired_files add column if not exists store varchar default 'local';
alter table retired_files add column if not exists bytes bigint default 0;
create table if not exists subscriptions (
    name varchar primary key, connection varchar not null,
    topics varchar[] not null, topic_expression varchar not null,
    mode integer not null, epoch bigint not null, full_sync_done boolean not null,
    created_ms bigint not null, committed_ms bigint,
    -- As cachesvc.v1.GapPolicy.
    gap_policy integer not null
);
-- One row, once a subscription was deleted.
create table if not exists deleted_subscriptions (
    only_row boolean primary key,
    -- The highest one of all that were deleted.
    epoch bigint not null
);
create table if not exists positions (
    subscription varchar not null, topic varchar not null, incarnation integer not null,
    "partition" integer not null, "offset" bigint not null,
    primary key (subscription, topic, incarnation, "partition")
);
create table if not exists job_runs (
    name varchar not null, started_ms bigint not null, ended_ms bigint not null,
    succeeded boolean not null, error varchar not null, counts varchar not null
);
create table if not exists paused_jobs (name varchar primary key);
-- Made over Admin; those of the configuration file are not here. No secret is in the settings.
create table if not exists connections (
    name varchar primary key, settings_json varchar not null,
    created_ms bigint not null, updated_ms bigint not null
);
-- Likewise.
create table if not exists stores (
    name varchar primary key, settings_json varchar not null,
    created_ms bigint not null, updated_ms bigint not null
);
-- The last test of each store; an empty `failed`: all checks passed.
create table if not exists store_tests (
    name varchar primary key, tested_ms bigint not null,
    failed varchar not null, detail varchar not null
);
-- Where topics were moved to; an empty topic: all of the connection that have no row of their own.
create table if not exists placements (
    connection varchar not null, topic varchar not null,
    store varchar not null, placed_ms bigint not null,
    primary key (connection, topic)
);
create table if not exists mining_tasks (
    connection varchar primary key, name varchar not null,
    state varchar not null, cause varchar not null, since_ms bigint not null,
    created_ms bigint not null,
    -- 0: the service's setting decides.
    retention_s double not null,
    -- earliest, now or timestamp; start_ms counts for the last.
    start varchar not null, start_ms bigint not null,
    -- 0: the service's setting decides.
    retention_bytes bigint not null default 0, retention_records bigint not null default 0
);
alter table mining_tasks add column if not exists retention_bytes bigint default 0;
alter table mining_tasks add column if not exists retention_records bigint default 0;
create table if not exists mined_topics (
    connection varchar not null, topic varchar not null,
    state varchar not null, cause varchar not null, since_ms bigint not null,
    joined_ms bigint not null, used_ms bigint not null,
    primary key (connection, topic)
);
create table if not exists mining_transitions (
    -- Grows; tells the order of transitions of one millisecond.
    number bigint not null,
    -- An empty topic means the task itself.
    connection varchar not null, topic varchar not null, at_ms bigint not null,
    "before" varchar not null, "after" varchar not null, cause varchar not null
);
create table if not exists topic_pins (
    connection varchar not null, topic varchar not null,
    reader varchar not null, strict boolean not null,
    primary key (connection, topic)
);
-- The model of each topic: what was inferred from its records.
create table if not exists models (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    -- JSON: per field its path, types and whether it was absent.
    fields varchar not null, field_count integer not null, truncated boolean not null,
    records_seen bigint not null, first_ms bigint not null, last_ms bigint not null,
    refreshed_ms bigint not null, changed_ms bigint not null,
    -- Per partition number the offset up to which records were looked at.
    offsets map(integer, bigint) not null,
    primary key (connection, topic, incarnation)
);
create table if not exists model_changes (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    noted_ms bigint not null, kind integer not null, path varchar[] not null,
    types integer[] not null, first_ms bigint
);
-- What was mined of each topic since its log began, and on one day of UTC.
create table if not exists mining_counts (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    records bigint not null, bytes bigint not null, rejects bigint not null,
    day integer not null,
    day_records bigint not null, day_bytes bigint not null, day_rejects bigint not null,
    primary key (connection, topic, incarnation)
);
create table if not exists alarms (
    id bigint primary key, kind integer not null, connection varchar not null,
    topic varchar not null, "partition" integer not null, subscription varchar not null,
    message varchar not null, raised_ms bigint not null, cleared_ms bigint
);
-- What the webhook has not taken yet, in order.
create table if not exists alarm_notices (
    number bigint not null, alarm_id bigint not null, cleared boolean not null
);
-- What retention has dropped, of a topic at a time.
create table if not exists drops (
    -- Grows; tells their order.
    number bigint not null,
    at_ms bigint not null, connection varchar not null, topic varchar not null,
    -- The word of drops_port.DropCause; the store that was over its budget, or empty.
    cause varchar not null, store varchar not null,
    segments bigint not null, records bigint not null, bytes bigint not null,
    detail varchar not null
);
-- Who made which subscription, as far as it is known: the name of a principal, or an address.
create table if not exists subscription_makers (
    subscription varchar primary key, maker varchar not null
);
-- Calls that change something: who made them, and how they ended.
create table if not exists audit (
    -- Grows; tells their order.
    number bigint not null,
    at_ms bigint not null, principal varchar not null, proof varchar not null,
    credential varchar not null, address varchar not null, call varchar not null,
    -- As JSON, secrets masked.
    request varchar not null,
    -- See audit_port.AuditEntry; no time while the call is under way.
    outcome varchar not null, reason varchar not null, took_ms bigint
);
-- Who may call. Names of roles and grants as JSON; of a token only its SHA-256, in hexadecimal.
create table if not exists access_roles (
    name varchar primary key, grants_json varchar not null,
    created_ms bigint not null, updated_ms bigint not null
);
create table if not exists access_principals (
    name varchar primary key, roles_json varchar not null,
    created_ms bigint not null, updated_ms bigint not null,
    disabled boolean not null default false
);
alter table access_principals add column if not exists disabled boolean default false;
-- The principal may be one of the settings.
create table if not exists access_tokens (
    id varchar primary key, principal varchar not null, digest varchar not null,
    created_ms bigint not null, expires_ms bigint, revoked_ms bigint
);
create table if not exists model_refreshes (
    connection varchar primary key, refreshed_ms bigint not null
);

-- Which incarnations a topic of that name has had.
create table if not exists topic_lives (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    -- The cluster's own id of the topic; empty where it has none or was not asked yet.
    source_id varchar not null,
    -- Why it began, as cachesvc.v1.GapCause; 0 for the first one.
    cause integer not null, began_ms bigint not null,
    primary key (connection, topic, incarnation)
);
-- Which cluster each incarnation of a topic is of, as that calls itself; those of clusters that tell
-- no id, and those from before this table was there, have no row.
create table if not exists topic_clusters (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    cluster_id varchar not null,
    primary key (connection, topic, incarnation)
);
-- The clusters that each connection has led to, rightly: the last one is the present one.
create table if not exists clusters (
    connection varchar not null, number integer not null,
    cluster_id varchar not null, since_ms bigint not null,
    primary key (connection, number)
);
-- What the source had deleted before it was mined.
create table if not exists lost_ranges (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    "partition" integer not null, begin_offset bigint not null, end_offset bigint not null,
    cause integer not null, found_ms bigint not null,
    primary key (connection, topic, incarnation, "partition", begin_offset)
);
-- Which leader epochs of the source each log was mined from.
create table if not exists leader_epochs (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    "partition" integer not null,
    -- Offset of the first append of each epoch, rising, and the epochs; -1 for an unknown one.
    offsets bigint[] not null, epochs integer[] not null,
    primary key (connection, topic, incarnation, "partition")
);

-- Partitions that are blocked, and those at which readers have died.
create table if not exists troubles (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    "partition" integer not null,
    -- The word of policy.blocking.BlockReason; where; of what size, 0 for unknown; for people.
    reason varchar not null, at_offset bigint not null, size_bytes bigint not null,
    detail varchar not null,
    blocked boolean not null, since_ms bigint not null,
    deaths integer not null, tries integer not null,
    -- When it is tried again by itself; 0 for never.
    retry_ms bigint not null,
    -- Where that ends at which readers have died; 0 for unknown.
    end_offset bigint not null,
    -- How many of the deaths were at this very offset, of readers that had begun nothing else.
    alone_deaths integer not null,
    primary key (connection, topic, incarnation, "partition")
);
alter table troubles add column if not exists alone_deaths integer default 0;

-- What the store had in a file that was damaged, until it is mined again or known to be lost.
create table if not exists damaged_ranges (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    "partition" integer not null, begin_offset bigint not null, end_offset bigint not null,
    found_ms bigint not null,
    primary key (connection, topic, incarnation, "partition", begin_offset)
);

-- Segments that were read and found whole since the present pass over all of them began.
create table if not exists scrubbed_segments (path varchar primary key);

-- Live snapshots.
create table if not exists snapshots (
    connection varchar not null, topic varchar not null, incarnation integer not null,
    "partition" integer not null,
    -- What it covers; the end is the position that it stands for.
    base_offset bigint not null, end_offset bigint not null,
    -- From where on every record counts.
    complete_from_offset bigint not null,
    -- Records that are in it, and those of the log that are in it or were superseded or deleted.
    record_count bigint not null, read_count bigint not null,
    bytes bigint not null,
    min_timestamp_ms bigint not null, max_timestamp_ms bigint not null,
    created_ms bigint not null, path varchar primary key, store varchar not null
);
-- Which snapshots subscriptions began to read. One counts while the subscription's position is in it.
create table if not exists snapshot_reads (
    subscription varchar not null,
    connection varchar not null, topic varchar not null, incarnation integer not null,
    "partition" integer not null, path varchar not null,
    -- Whether it had fallen out of retention.
    recovers boolean not null,
    primary key (subscription, connection, topic, incarnation, "partition")
);

-- name: insert_meta
insert into meta values (?, ?);

-- name: get_meta
select format_version from meta;

-- name: list_partitions
select connection, topic, incarnation, "partition", log_start_offset from partitions
order by all;

-- name: put_partition
-- Enters a partition, or moves its log start.
insert into partitions values (?, ?, ?, ?, ?)
on conflict do update set log_start_offset = excluded.log_start_offset;

-- name: list_mined_from
select connection, topic, incarnation, "partition", "offset" from mined_from order by all;

-- name: put_mined_from
insert into mined_from values (?, ?, ?, ?, ?)
on conflict do update set "offset" = excluded."offset";

-- name: list_incarnations
select connection, topic, incarnation, source_id, cause, coalesce(cluster_id, '')
from topic_lives left join topic_clusters using (connection, topic, incarnation)
order by all;

-- name: put_incarnations
-- Upserts the rows of the registered Arrow table `new_incarnations`.
insert into topic_lives by name from new_incarnations
on conflict do update set source_id = excluded.source_id;

-- name: put_topic_clusters
-- Upserts the rows of the registered Arrow table `new_clusters`.
insert into topic_clusters by name from new_clusters
on conflict do update set cluster_id = excluded.cluster_id;

-- name: list_clusters
select connection, cluster_id from clusters order by connection, number;

-- name: add_cluster
insert into clusters
select $1, 1 + count(*), $2, $3 from clusters where connection = $1;

-- name: forget_clusters
delete from clusters where connection = ?;

-- name: put_new_partitions
-- Upserts the rows of the registered Arrow table `new_partitions`.
insert into partitions by name
select connection, topic, incarnation, "partition", "offset" as log_start_offset
from new_partitions
on conflict do update set log_start_offset = excluded.log_start_offset;

-- name: put_new_mined_from
-- The same rows.
insert into mined_from by name from new_partitions
on conflict do update set "offset" = excluded."offset";

-- name: list_lost
select connection, topic, incarnation, "partition", begin_offset, end_offset, cause
from lost_ranges order by all;

-- name: put_lost
insert into lost_ranges values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict do update set end_offset = excluded.end_offset, cause = excluded.cause;

-- name: list_damaged
select connection, topic, incarnation, "partition", begin_offset, end_offset
from damaged_ranges order by all;

-- name: put_damaged
insert into damaged_ranges values (?, ?, ?, ?, ?, ?, ?)
on conflict do update set end_offset = greatest(damaged_ranges.end_offset, excluded.end_offset);

-- name: delete_damaged
delete from damaged_ranges
where connection = ? and topic = ? and incarnation = ? and "partition" = ? and begin_offset = ?;

-- name: list_scrubbed
select path from scrubbed_segments;

-- name: put_scrubbed
-- Enters the rows of the registered Arrow table `new_scrubbed`.
insert into scrubbed_segments select path from new_scrubbed on conflict do nothing;

-- name: delete_scrubbed
delete from scrubbed_segments;

-- name: list_leader_epochs
select connection, topic, incarnation, "partition", offsets, epochs from leader_epochs
order by all;

-- name: put_leader_epochs
-- Upserts the rows of the registered Arrow table `new_leader_epochs`.
insert into leader_epochs select * from new_leader_epochs
on conflict do update set offsets = excluded.offsets, epochs = excluded.epochs;

-- name: list_troubles
select connection, topic, incarnation, "partition", reason, at_offset, size_bytes, detail, blocked,
    since_ms, deaths, tries, retry_ms, end_offset, alone_deaths
from troubles order by all;

-- name: put_trouble
insert or replace into troubles values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: delete_trouble
delete from troubles
where connection = ? and topic = ? and incarnation = ? and "partition" = ?;

-- name: raise_epochs
-- Enters topics or raises their epochs, those of the registered Arrow table `raised_topics`; answers
-- the new ones.
insert into topics by name from raised_topics
on conflict do update set epoch = topics.epoch + 1
returning connection, topic, incarnation, epoch;

-- name: list_segments
select connection, topic, incarnation, "partition", base_offset, end_offset, record_count, bytes,
    min_timestamp_ms, max_timestamp_ms, created_ms, level, path, reject_count, rejects_path,
    backfilled_ms, oldest_mined_ms, newest_mined_ms, store, rejects_bytes
from segments
order by connection, topic, incarnation, "partition", base_offset;

-- name: insert_segments
-- Enters the segments of the registered Arrow table `new_segments`.
insert into segments by name select * from new_segments;

-- name: put_mined_times
-- Changes the times of mining of the segments of the registered Arrow table `new_mined_times`.
update segments set
    oldest_mined_ms = new_mined_times.oldest_ms, newest_mined_ms = new_mined_times.newest_ms
from new_mined_times where segments.path = new_mined_times.path;

-- name: delete_segment
delete from segments where path = ?;

-- name: insert_retired
insert into retired_files (path, retired_ms, store, bytes) values (?, ?, ?, ?);

-- name: list_retired
select path, retired_ms, store, bytes from retired_files order by retired_ms, path;

-- name: delete_retired
delete from retired_files where path = ?;

-- name: put_subscriptions
-- Upserts the rows of the registered Arrow table `new_subscriptions`.
insert into subscriptions
select name, connection, topics, topic_expression, mode, epoch, full_sync_done, created_ms,
    committed_ms, gap_policy
from new_subscriptions
on conflict do update set
    connection = excluded.connection, topics = excluded.topics,
    topic_expression = excluded.topic_expression, mode = excluded.mode, epoch = excluded.epoch,
    full_sync_done = excluded.full_sync_done, committed_ms = excluded.committed_ms,
    gap_policy = excluded.gap_policy;

-- name: list_subscriptions
select name, connection, topics, topic_expression, mode, epoch, full_sync_done, created_ms,
    committed_ms, gap_policy
from subscriptions order by name;

-- name: note_deleted_epoch
insert into deleted_subscriptions select true, epoch from subscriptions where name = ?
on conflict do update set epoch = greatest(deleted_subscriptions.epoch, excluded.epoch);

-- name: get_deleted_epoch
select epoch from deleted_subscriptions;

-- name: put_makers
insert or replace into subscription_makers select subscription, maker from new_makers;

-- name: delete_lost_makers
delete from subscription_makers where subscription not in (select name from subscriptions);

-- name: list_makers
select subscription, maker from subscription_makers
where subscription in (select name from subscriptions) order by subscription;

-- name: delete_subscription
delete from subscriptions where name = ?;

-- name: list_positions
select positions.subscription, subscriptions.connection, positions.topic, positions.incarnation,
    positions."partition", positions."offset"
from positions join subscriptions on subscriptions.name = positions.subscription
order by all;

-- name: put_positions
-- Upserts the rows of the registered Arrow table `new_positions`, those of subscriptions that are
-- there: one may have been deleted while its commit waited.
insert into positions
select subscription, topic, incarnation, "partition", "offset" from new_positions
where subscription in (select name from subscriptions)
on conflict do update set "offset" = excluded."offset";

-- name: mark_committed
-- Notes the time of a commit, and whether it completed a full sync, for the registered Arrow table
-- `new_commits`.
update subscriptions
set committed_ms = new_commits.committed_ms,
    full_sync_done = subscriptions.full_sync_done or new_commits.full_sync_done
from new_commits where subscriptions.name = new_commits.subscription;

-- name: delete_positions
delete from positions where subscription = ?;

-- name: insert_job_run
insert into job_runs values (?, ?, ?, ?, ?, ?);

-- name: list_job_runs
-- The newest first; parameters: name or empty for all, limit.
select name, started_ms, ended_ms, succeeded, error, counts from job_runs
where name = $1 or $1 = '' order by started_ms desc, name limit $2;

-- name: trim_job_runs
-- Keeps the newest runs of each job.
delete from job_runs where rowid in (
    select rowid from (
        select rowid, row_number() over (partition by name order by started_ms desc) as age
        from job_runs
    ) where age > ?
);

-- name: pause_job
insert into paused_jobs values (?) on conflict do nothing;

-- name: resume_job
delete from paused_jobs where name = ?;

-- name: list_paused_jobs
select name from paused_jobs order by name;

-- name: list_connections
select name, settings_json, created_ms, updated_ms from connections order by name;

-- name: put_connection
-- Enters a connection, or changes its settings and the time of its last change.
insert into connections values (?, ?, ?, ?)
on conflict do update set
    settings_json = excluded.settings_json, updated_ms = excluded.updated_ms;

-- name: delete_connection
delete from connections where name = ?;

-- name: list_mining_tasks
select connection, name, state, cause, since_ms, created_ms, start, start_ms,
    retention_s, retention_bytes, retention_records
from mining_tasks order by connection;

-- name: put_mining_task
insert into mining_tasks values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do update set
    name = excluded.name, state = excluded.state, cause = excluded.cause,
    since_ms = excluded.since_ms, retention_s = excluded.retention_s,
    start = excluded.start, start_ms = excluded.start_ms,
    retention_bytes = excluded.retention_bytes, retention_records = excluded.retention_records;

-- name: list_mined_topics
select connection, topic, state, cause, since_ms, joined_ms, used_ms
from mined_topics order by connection, topic;

-- name: put_mined_topics
-- Upserts the rows of the registered Arrow table `new_mined_topics`.
insert into mined_topics
select connection, topic, state, cause, since_ms, joined_ms, used_ms from new_mined_topics
on conflict do update set
    state = excluded.state, cause = excluded.cause, since_ms = excluded.since_ms,
    joined_ms = excluded.joined_ms, used_ms = excluded.used_ms;

-- name: delete_mined_topic
delete from mined_topics where connection = ? and topic = ?;

-- name: last_mining_transition
select coalesce(max(number), 0) from mining_transitions;

-- name: add_mining_transitions
-- Appends the rows of the registered Arrow table `new_mining_transitions`.
insert into mining_transitions
select number, connection, topic, at_ms, "before", "after", cause from new_mining_transitions;

-- name: forget_mining_task
delete from mining_tasks where connection = ?;

-- name: forget_mined_topics
delete from mined_topics where connection = ?;

-- name: forget_mining_transitions
delete from mining_transitions where connection = ?;

-- name: forget_topic_pins
delete from topic_pins where connection = ?;

-- name: list_mining_transitions
-- The newest first; parameters: connection, topic or empty for all, limit.
select connection, topic, at_ms, "before", "after", cause from mining_transitions
where connection = $1 and (topic = $2 or $2 = '') order by number desc limit $3;

-- name: trim_mining_transitions
-- Keeps the newest transitions of each task.
delete from mining_transitions where number in (
    select number from (
        select number, row_number() over (partition by connection order by number desc) as age
        from mining_transitions
    ) where age > ?
);

-- name: list_topic_pins
select connection, topic, reader, strict from topic_pins order by connection, topic;

-- name: put_topic_pin
insert into topic_pins values (?, ?, ?, ?)
on conflict do update set reader = excluded.reader, strict = excluded.strict;

-- name: delete_topic_pin
delete from topic_pins where connection = ? and topic = ?;

-- name: get_change_number
select number from changes;

-- name: put_change_number
update changes set number = ?;

-- name: list_tables
select table_name from duckdb_tables() where database_name = current_database() order by all;

-- name: get_database
select current_database();

-- name: attach_copy
-- With the path in place of $path: ATTACH takes no parameters. Blocks of the usual size would take
-- several megabytes of memory for a copy of a few rows.
attach $path as catalogue_copy (block_size 16384);

-- name: copy_all
-- With this database's name in place of $name.
copy from database $name to catalogue_copy;

-- name: detach_copy
detach catalogue_copy;
