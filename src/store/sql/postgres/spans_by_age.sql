-- The next spans in the order of their start, behind ($1, $2) and before $3, at most $4: what decides whether
-- they may go.
select
    s.id, s.trace_id, s.started_at,
    coalesce(s.metadata ->> 'collector' = 'beacon-collector', false),
    s.metadata ->> 'source'
from public.trace_spans s
where s.started_at >= $1 and s.started_at < $3
  and (s.started_at, s.id) > ($1, $2)
order by s.started_at, s.id
limit $4
