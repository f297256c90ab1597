-- The next links behind (?1, ?2), at most ?3, and of each whether its trace has no span left.
select
    l.trace_id, l.execution_id,
    not exists (select 1 from trace_spans s where s.trace_id = l.trace_id)
from (
    select trace_id, execution_id
    from execution_links
    where (trace_id, execution_id) > (?1, ?2)
    order by trace_id, execution_id
    limit ?3
) l
order by l.trace_id, l.execution_id
