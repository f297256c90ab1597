-- How many spans began in each second of [$1, $2), and how many of them in services other than Modal, by the
-- index on started_at.
select
    floor(extract(epoch from s.started_at))::bigint,
    count(*),
    count(*) filter (where s.service <> 'modal')
from public.trace_spans s
where s.started_at >= $1 and s.started_at < $2
group by 1
order by 1
