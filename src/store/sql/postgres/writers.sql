-- Who wrote the spans that began within the last day: service, whether they are the collector's, how
-- many, and how many of them have no start line.
select
    service::text,
    coalesce(metadata ->> 'collector' = 'beacon-collector', false) as ours,
    count(*),
    count(*) filter (where metadata ->> 'start_inferred' = 'true')
from public.trace_spans
where started_at > now() - interval '1 day'
group by 1, 2
order by 3 desc
limit 20
