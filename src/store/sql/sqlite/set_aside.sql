insert into rejected_spans (trace_id, span_id, reason, span, rejected_at)
values (?, ?, ?, ?, ?)
on conflict (span_id, trace_id) do update
set reason = excluded.reason, span = excluded.span, rejected_at = excluded.rejected_at
