insert into beacon_collector.execution_links (trace_id, execution_id, method, confidence)
select trace_id, execution_id, method, confidence
from unnest($1::uuid[], $2::int8[], $3::text[], $4::float8[])
    u (trace_id, execution_id, method, confidence)
on conflict (trace_id, execution_id) do update
set method = excluded.method, confidence = excluded.confidence
