-- The spans of all traces of executions ($1), at most $2: the columns of spans.sql, and what links the trace to one
-- of them. An array, so that the traces are looked up by the index, however many are expected.
with links as materialized (
    select l.trace_id, l.execution_id, l.method, l.confidence
    from beacon_collector.execution_links l
    where l.execution_id = any($1)
)
select
    s.trace_id, s.span_id, s.parent_span_id, s.service, s.operation, s.started_at, s.completed_at,
    s.duration_ms, s.status, s.job_id, s.execution_id, s.model_id, s.region, s.metadata,
    s.error_message, s.error_type, s.id, l.execution_id, l.method, l.confidence
from public.trace_spans s
left join links l on l.trace_id = s.trace_id
where s.trace_id = any(array(
    select trace_id from links
    union all
    select n.trace_id from public.trace_spans n where n.execution_id = any($1)))
order by s.started_at, s.span_id, s.id
limit $2
