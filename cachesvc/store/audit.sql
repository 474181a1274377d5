-- Statements on who changed what. In the manner of `queries.sql`, which has the table.

-- name: replace_audit
delete from audit where number in (select number from new_audit);

-- name: add_audit
insert into audit
select
    number, at_ms, principal, proof, credential, address, call, request, outcome, reason, took_ms
from new_audit;

-- name: trim_audit
-- Keeps the newest; the parameter says how many.
delete from audit where number <= (select max(number) - ? from audit);

-- name: list_audit
select number, at_ms, principal, proof, credential, address, call, request, outcome, reason, took_ms
from audit
where $1 in ('', principal) and $2 in ('', call) and at_ms >= $3
order by number desc limit $4;

-- name: list_started_audit
select number, at_ms, principal, proof, credential, address, call, request, outcome, reason, took_ms
from audit where outcome = ? order by number;

-- name: last_audit
select coalesce(max(number), 0) from audit;
