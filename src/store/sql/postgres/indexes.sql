-- The indexes of the tables that are asked: table, name, whether it is usable, and the column it begins
-- with where it covers all rows. A table without any index comes as a row without a name.
select
    'public.' || t.relname::text,
    coalesce(i.relname::text, ''),
    coalesce(x.indisvalid and x.indisready, false),
    case when x.indpred is null then a.attname::text end
from pg_class t
left join pg_index x on x.indrelid = t.oid
left join pg_class i on i.oid = x.indexrelid
left join pg_attribute a on a.attrelid = t.oid and a.attnum = x.indkey[0]
where t.oid in (to_regclass('public.trace_spans'), to_regclass('public.executions'))
