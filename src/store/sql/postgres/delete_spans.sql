-- By both columns: whichever of them leads an index, or the table is distributed by.
delete from public.trace_spans s
using unnest($1::int8[], $2::uuid[]) d (id, trace_id)
where s.id = d.id and s.trace_id = d.trace_id
