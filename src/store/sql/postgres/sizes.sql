-- Bytes and estimated rows of the tables that the collector writes; partitions count as their table.
select
    n.nspname || '.' || c.relname,
    sum(pg_table_size(coalesce(p.relid, c.oid)))::bigint,
    sum(pg_indexes_size(coalesce(p.relid, c.oid)))::bigint,
    -- Of a table that was never analysed: -1.
    case when bool_or(r.reltuples >= 0) then sum(greatest(r.reltuples, 0))::bigint end
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join lateral pg_partition_tree(c.oid) p on p.isleaf
join pg_class r on r.oid = coalesce(p.relid, c.oid)
where c.oid = to_regclass('public.trace_spans')
   or n.nspname = 'beacon_collector' and c.relkind in ('r', 'p') and not c.relispartition
group by 1
order by 1
