-- The next spans in the order of their start, behind (?1, ?2) and before ?3, at most ?4: what decides whether
-- they may go.
select
    id, trace_id, started_at,
    coalesce(metadata ->> 'collector' = 'beacon-collector', false),
    metadata ->> 'source'
from trace_spans
where started_at < ?3 and (started_at, id) > (?1, ?2)
order by started_at, id
limit ?4
