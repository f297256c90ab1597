-- The next spans in the order of their start, behind (?1, ?2) and before ?3, at most ?4, and of each whether
-- it may go: ?5 is a JSON array of [source, cutoff, cutoff where something failed], ?6 and ?7 those of our
-- other spans, ?8 and ?9 those of spans that others wrote.
with looked as (
    select id, trace_id, started_at, metadata
    from trace_spans
    where started_at < ?3 and (started_at, id) > (?1, ?2)
    order by started_at, id
    limit ?4
),
judged as (
    select
        l.*,
        coalesce(l.metadata ->> 'collector' = 'beacon-collector', false) as ours,
        exists (
            select 1 from trace_spans f
            where f.trace_id = l.trace_id
              and lower(f.status) in ('failed', 'failure', 'error', 'cancelled', 'canceled', 'timeout',
                  'timed_out', 'timedout')
        ) as failed
    from looked l
)
select
    j.id, j.trace_id, j.started_at,
    coalesce(j.started_at < case
        when not j.ours and j.failed then ?9
        when not j.ours then ?8
        when r.value is not null and j.failed then r.value ->> 2
        when r.value is not null then r.value ->> 1
        when j.failed then ?7
        else ?6
    end, false)
from judged j
left join json_each(?5) r on r.value ->> 0 = j.metadata ->> 'source'
order by j.started_at, j.id
