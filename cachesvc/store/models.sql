-- Statements on models of topics. In the manner of `queries.sql`, which has their tables.

-- name: list_model_summaries
-- A page, ordered by topic, behind a topic; parameters: connection, topic, incarnation, limit.
select connection, topic, incarnation, field_count, truncated, records_seen, first_ms, last_ms,
    refreshed_ms, changed_ms
from models where connection = $1 and (topic, incarnation) > ($2, $3)
order by topic, incarnation limit $4;

-- name: list_models_looked
select topic, incarnation, refreshed_ms, offsets from models where connection = ? order by all;

-- name: get_model
select connection, topic, incarnation, field_count, truncated, records_seen, first_ms, last_ms,
    refreshed_ms, changed_ms, fields, offsets
from models where connection = ? and topic = ? and incarnation = ?;

-- name: put_models
-- Upserts the rows of the registered Arrow table `new_models`.
insert into models by name select * replace (map_from_entries(offsets) as offsets) from new_models
on conflict do update set
    fields = excluded.fields, field_count = excluded.field_count, truncated = excluded.truncated,
    records_seen = excluded.records_seen, first_ms = excluded.first_ms, last_ms = excluded.last_ms,
    refreshed_ms = excluded.refreshed_ms, changed_ms = excluded.changed_ms,
    offsets = excluded.offsets;

-- name: put_model_changes
-- Appends the rows of the registered Arrow table `new_changes`.
insert into model_changes by name from new_changes;

-- name: trim_model_changes
-- Keeps the newest changes of each topic of a connection.
delete from model_changes where rowid in (
    select rowid from (
        select rowid, row_number() over (
            partition by topic, incarnation order by noted_ms desc, rowid desc
        ) as age
        from model_changes where connection = $1
    ) where age > $2
);

-- name: list_model_changes
-- The newest first.
select noted_ms, kind, path, types, first_ms from model_changes
where connection = ? and topic = ? and incarnation = ? order by noted_ms desc, path, kind;

-- name: count_models
select connection, count(*) from models group by all order by all;

-- name: list_model_refreshes
select connection, refreshed_ms from model_refreshes order by all;

-- name: put_model_refresh
insert into model_refreshes values (?, ?)
on conflict do update set refreshed_ms = excluded.refreshed_ms;
