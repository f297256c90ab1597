insert into beacon_collector.rejected_spans (trace_id, span_id, reason, span)
values ($1, $2, $3, $4)
on conflict (span_id, trace_id) do update
set reason = excluded.reason, span = excluded.span, rejected_at = excluded.rejected_at
