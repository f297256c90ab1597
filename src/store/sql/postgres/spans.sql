-- The columns of a span, in the order in which row.rs reads them. A question's condition follows.
select
    s.trace_id, s.span_id, s.parent_span_id, s.service, s.operation, s.started_at, s.completed_at,
    s.duration_ms, s.status, s.job_id, s.execution_id, s.model_id, s.region, s.metadata,
    s.error_message, s.error_type, s.id
from
