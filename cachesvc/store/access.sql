-- Principals, roles and tokens. In the manner of `queries.sql`, which has the tables.

-- name: list_roles
select name, grants_json, created_ms, updated_ms from access_roles order by name;

-- name: put_role
insert into access_roles values (?, ?, ?, ?)
on conflict do update set
    grants_json = excluded.grants_json, updated_ms = excluded.updated_ms;

-- name: delete_role
delete from access_roles where name = ?;

-- name: list_principals
select name, roles_json, created_ms, updated_ms, disabled from access_principals order by name;

-- name: put_principal
insert into access_principals values (?, ?, ?, ?, ?)
on conflict do update set
    roles_json = excluded.roles_json, updated_ms = excluded.updated_ms,
    disabled = excluded.disabled;

-- name: delete_principal
delete from access_principals where name = ?;

-- name: delete_tokens
delete from access_tokens where principal = ?;

-- name: list_tokens
select id, principal, digest, created_ms, expires_ms, revoked_ms
from access_tokens order by created_ms, id;

-- name: put_token
insert or replace into access_tokens values (?, ?, ?, ?, ?, ?);

-- name: forget_tokens
delete from access_tokens where coalesce(revoked_ms, expires_ms) < ?;
