insert into execution_links (trace_id, execution_id, method, confidence)
values (?, ?, ?, ?)
on conflict (trace_id, execution_id) do update
set method = excluded.method, confidence = excluded.confidence
