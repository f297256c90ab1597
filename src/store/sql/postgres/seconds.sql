-- How many spans began in each second of [$1, $2), and how many of them in services other than Modal, by the
-- index on started_at. Grouped by what is counted out in integers; any whole second long past does to begin at.
select floor(extract(epoch from c.second))::bigint, c.spans, c.of_others
from (
    select
        date_bin('1 second', s.started_at, timestamptz '0001-01-01 00:00:00Z') as second,
        count(*) as spans,
        count(*) filter (where s.service <> 'modal') as of_others
    from public.trace_spans s
    where s.started_at >= $1 and s.started_at < $2
    group by 1
) c
order by 1
