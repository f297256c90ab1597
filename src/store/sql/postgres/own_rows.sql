-- Rows of ours in the ranges of span ids from $1 to $2: one look-up in beacon_own_spans each. The
-- lateral subquery with its offset holds the planner to that: it takes any mark in metadata to be on
-- half a percent of the rows, and would rather read all that carry ours.
unnest($1::uuid[], $2::uuid[]) r (low, high)
cross join lateral (
    select
        o.trace_id, o.span_id, o.parent_span_id, o.service, o.operation, o.started_at,
        o.completed_at, o.duration_ms, o.status, o.job_id, o.execution_id, o.model_id, o.region,
        o.metadata, o.error_message, o.error_type, o.id
    from public.trace_spans o
    where o.span_id between r.low and r.high
      and o.metadata ->> 'collector' = 'beacon-collector'
    offset 0
) s
