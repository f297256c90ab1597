-- What stands in the way of spreading trace_spans over machines by trace_id: its primary key as a statement,
-- where that lacks the column; other unique keys that lack it, and foreign keys, as their names.
with spans as (select to_regclass('public.trace_spans') as oid),
lacking as (
    select i.indexrelid, i.indisprimary, i.indrelid, i.indkey
    from pg_index i
    join spans on i.indrelid = spans.oid
    where i.indisunique
      and not exists (
          select from pg_attribute a
          where a.attrelid = i.indrelid and a.attnum = any(i.indkey) and a.attname = 'trace_id')
)
select
    l.indisprimary,
    case when l.indisprimary then format(
        'alter table public.trace_spans drop constraint %I, add primary key (trace_id, %s)',
        (select conname from pg_constraint where conindid = l.indexrelid and contype = 'p'),
        (select string_agg(format('%I', a.attname), ', ' order by a.attnum)
         from pg_attribute a where a.attrelid = l.indrelid and a.attnum = any(l.indkey)))
    else 'unique index ' || l.indexrelid::regclass end
from lacking l
union all
select false, 'foreign key ' || conname || ' of ' || conrelid::regclass
from pg_constraint, spans
where contype = 'f' and (conrelid = spans.oid or confrelid = spans.oid)
