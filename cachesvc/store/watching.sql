-- Statements on what was mined and on alarms. In the manner of `queries.sql`, which has the tables.

-- name: list_mining_counts
select connection, topic, incarnation, records, bytes, rejects, day, day_records, day_bytes,
    day_rejects
from mining_counts order by all;

-- name: put_mining_counts
-- Upserts the rows of the registered Arrow table `new_counts`.
insert into mining_counts by name from new_counts
on conflict do update set
    records = excluded.records, bytes = excluded.bytes, rejects = excluded.rejects,
    day = excluded.day, day_records = excluded.day_records, day_bytes = excluded.day_bytes,
    day_rejects = excluded.day_rejects;

-- name: put_alarm
insert into alarms values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do update set cleared_ms = excluded.cleared_ms;

-- name: list_alarms
-- Those that stand first, then the newest; parameters: connection or empty for all, whether past
-- ones as well, limit.
select id, kind, connection, topic, "partition", subscription, message, raised_ms, cleared_ms
from alarms
where ($1 = '' or connection = $1) and ($2 or cleared_ms is null)
order by cleared_ms is not null, raised_ms desc, id desc limit $3;

-- name: last_alarm
select coalesce(max(id), 0) from alarms;

-- name: trim_alarms
-- Keeps the newest past alarms, and those that the webhook has yet to be told of.
delete from alarms where cleared_ms is not null
    and id not in (select alarm_id from alarm_notices)
    and id not in (
        select id from alarms where cleared_ms is not null order by cleared_ms desc, id desc limit ?
    );

-- name: put_alarm_notice
insert into alarm_notices
select coalesce(max(number), 0) + 1, ?, ? from alarm_notices;

-- name: trim_alarm_notices
-- Keeps the newest.
delete from alarm_notices where number <= (select max(number) - ? from alarm_notices);

-- name: first_alarm_notice
select notices.number, notices.cleared, alarms.id, alarms.kind, alarms.connection, alarms.topic,
    alarms."partition", alarms.subscription, alarms.message, alarms.raised_ms, alarms.cleared_ms
from alarm_notices as notices join alarms on alarms.id = notices.alarm_id
order by notices.number limit 1;

-- name: drop_alarm_notice
delete from alarm_notices where number = ?;

-- name: count_alarm_notices
select count(*) from alarm_notices;
