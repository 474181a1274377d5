-- Which records are the latest of their keys. The process that makes a snapshot runs these; what does
-- not fit in memory goes to temporary files.

-- name: find_latest
-- The offsets of the latest record of each key of the registered Arrow stream `records`, in order.
-- Values never come here: they are read once, of those records alone.
create temp table latest as
select max("offset") as "offset" from records where key is not null group by key order by all;

-- name: count_latest
select count(*) from latest;

-- name: list_latest
-- Those within an inclusive range.
select "offset" from latest where "offset" between ? and ? order by all;

-- name: find_deletes
-- The offsets of the records of the registered Arrow table `piece` with which Debezium says that a
-- row was deleted, with or without a schema around it.
select "offset" from piece
where value->>'$.op' = 'd' or value->>'$.payload.op' = 'd';
