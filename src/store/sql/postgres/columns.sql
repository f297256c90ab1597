-- The columns of trace_spans: name, type, and whether every row must give it a value.
select
    a.attname::text,
    format_type(a.atttypid, null),
    a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attgenerated = ''
from pg_attribute a
where a.attrelid = to_regclass('public.trace_spans')
  and a.attnum > 0
  and not a.attisdropped
order by a.attnum
