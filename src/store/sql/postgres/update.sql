-- New contents, ids included, of the rows of ours with the keys in $1. The mark is asked for again: a row
-- of others is never changed. Asked for in other words than the index has it, because the planner takes
-- such a mark to be rare and would read all rows that carry it instead of those with the keys.
update public.trace_spans s
set trace_id = u.trace_id,
    span_id = u.span_id,
    parent_span_id = u.parent_span_id,
    service = u.service,
    operation = u.operation,
    started_at = u.started_at,
    completed_at = u.completed_at,
    duration_ms = u.duration_ms,
    status = u.status,
    job_id = u.job_id,
    execution_id = u.execution_id,
    model_id = u.model_id,
    region = u.region,
    metadata = u.metadata::jsonb,
    error_message = u.error_message,
    error_type = u.error_type
from unnest(
    $1::int8[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
    $7::timestamptz[], $8::timestamptz[], $9::int4[], $10::text[], $11::text[], $12::int8[],
    $13::text[], $14::text[], $15::text[], $16::text[], $17::text[]
) u (
    id, trace_id, span_id, parent_span_id, service, operation,
    started_at, completed_at, duration_ms, status, job_id, execution_id,
    model_id, region, metadata, error_message, error_type)
where s.id = u.id
  and s.metadata @> '{"collector": "beacon-collector"}'
