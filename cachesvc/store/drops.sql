-- Statements on what retention has dropped. In the manner of `queries.sql`, which has the table.

-- name: add_drop
insert into drops
select coalesce(max(number), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ?, ? from drops;

-- name: trim_drops
-- Keeps the newest; the parameter says how many.
delete from drops where number <= (select max(number) - ? from drops);

-- name: list_drops
select at_ms, connection, topic, cause, store, segments, records, bytes, detail
from drops
where $1 in ('', connection) and $2 in ('', topic)
order by number desc limit $3;
