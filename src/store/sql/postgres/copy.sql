copy public.trace_spans (
    trace_id, span_id, parent_span_id, service, operation, started_at, completed_at, duration_ms,
    status, job_id, execution_id, model_id, region, metadata, error_message, error_type)
from stdin (format binary)
