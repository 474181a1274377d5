-- Stores made over Admin, their tests, and what was moved where.

-- name: list_stores
select name, settings_json, created_ms, updated_ms from stores order by name;

-- name: put_store
-- Enters a store, or changes its settings and the time of its last change.
insert into stores values (?, ?, ?, ?)
on conflict do update set
    settings_json = excluded.settings_json, updated_ms = excluded.updated_ms;

-- name: delete_store
delete from stores where name = ?;

-- name: list_store_tests
select name, tested_ms, failed, detail from store_tests order by name;

-- name: put_store_test
insert or replace into store_tests values (?, ?, ?, ?);

-- name: delete_store_test
delete from store_tests where name = ?;

-- name: list_placements
select connection, topic, store from placements order by connection, topic;

-- name: put_placement
insert or replace into placements values (?, ?, ?, ?);

-- name: delete_placements_of_topics
delete from placements where connection = ? and topic <> '';

-- name: delete_placements
delete from placements where connection = ?;
