-- How many spans began in each second of [?1, ?2), and how many of them in services other than Modal, by the
-- index on started_at.
select unixepoch(min(s.started_at)), count(*), sum(s.service <> 'modal')
from trace_spans s
where s.started_at >= ? and s.started_at < ?
group by substr(s.started_at, 1, 19)
order by 1
