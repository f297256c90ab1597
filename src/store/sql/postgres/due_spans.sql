-- The next spans in the order of their start, behind ($1, $2) and before $3, at most $4, and of each whether
-- it may go: $5 to $7 are sources with their cutoffs (nothing failed, something failed), $8 and $9 those of
-- our other spans, $10 and $11 those of spans that others wrote.
with looked as (
    select s.id, s.trace_id, s.started_at, s.metadata
    from public.trace_spans s
    where s.started_at >= $1 and s.started_at < $3
      and (s.started_at, s.id) > ($1, $2)
    order by s.started_at, s.id
    limit $4
),
-- One look into the index by trace for each of them: the whole trace stays while something in it failed.
judged as (
    select
        l.*,
        coalesce(l.metadata ->> 'collector' = 'beacon-collector', false) as ours,
        exists (
            select from public.trace_spans f
            where f.trace_id = l.trace_id
              and lower(f.status) in ('failed', 'failure', 'error', 'cancelled', 'canceled', 'timeout',
                  'timed_out', 'timedout')
        ) as failed
    from looked l
)
select
    j.id, j.trace_id, j.started_at,
    coalesce(j.started_at < case
        when not j.ours and j.failed then $11
        when not j.ours then $10
        when r.source is not null and j.failed then r.failed
        when r.source is not null then r.ended
        when j.failed then $9
        else $8
    end, false)
from judged j
left join unnest($5::text[], $6::timestamptz[], $7::timestamptz[]) r (source, ended, failed)
    on r.source = j.metadata ->> 'source'
order by j.started_at, j.id
