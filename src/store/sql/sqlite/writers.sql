-- Who wrote the spans that began since a time: service, whether they are the collector's, how many, and
-- how many of them have no start line.
select
    service,
    coalesce(metadata ->> 'collector' = 'beacon-collector', 0) as ours,
    count(*),
    count(*) filter (where metadata ->> 'start_inferred')
from trace_spans
where started_at > ?
group by 1, 2
order by 3 desc
limit 20
