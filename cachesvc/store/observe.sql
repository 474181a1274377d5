-- Statements on records; see `queries.py`.

-- name: observe_records
-- Every path and type in the JSON values of the registered Arrow table `records`. Elements of an
-- array share one path, `[*]`, but for those below a name that has a bracket itself. An integer too
-- large for DuckDB is called a double; only those are looked at again. Parameter: length of examples.
select path, type, count(*), min(at_ms), max(at_ms), arg_max(left(atom, $1), at_ms)
from (
    select
        case
            when not contains(node.fullkey, '[') then node.fullkey
            when regexp_matches(node.fullkey, '\."(?:[^"\\]|\\.)*\[') then node.fullkey
            else regexp_replace(node.fullkey, '\[[0-9]+\]', '[*]', 'g')
        end as path,
        case
            when node.type = 'DOUBLE' and not regexp_matches(node.atom, '[.eE]') then 'HUGEINT'
            else node.type
        end as type,
        epoch_ms(records."timestamp") as at_ms,
        node.atom
    from records, json_tree(records.value) as node
)
group by all;
