delete from beacon_collector.rejected_spans r
using (
    select span_id, trace_id
    from beacon_collector.rejected_spans
    where rejected_at < $1
    limit $2
) d
where r.span_id = d.span_id and r.trace_id = d.trace_id
