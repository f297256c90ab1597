-- Spans since a time that stand there more than once.
select count(*)
from (
    select 1 from trace_spans
    where started_at > ?
    group by span_id, trace_id
    having count(*) > 1
)
