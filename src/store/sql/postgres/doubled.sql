-- Spans of the last day that stand there more than once.
select count(*)
from (
    select from public.trace_spans
    where started_at > now() - interval '1 day'
    group by span_id, trace_id
    having count(*) > 1
) as doubled
