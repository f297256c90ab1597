delete from beacon_collector.execution_links l
using unnest($1::uuid[], $2::int8[]) d (trace_id, execution_id)
where l.trace_id = d.trace_id and l.execution_id = d.execution_id
