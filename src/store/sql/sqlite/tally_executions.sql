-- Executions written in [?1, ?2), counted by what they are and how long they took: to the millisecond
-- below a second, beyond that to the third digit. What a count stands for is the mean, so that few rows
-- lose nothing. ?3 model, ?4 region: null for any. ?5 the most that are counted, newest first. Whole
-- seconds and their fractions are taken apart, because a day number has no room for microseconds.
select
    t.model_id,
    t.region,
    t.status,
    t.ended,
    count(*),
    avg(t.ms)
from (
    select
        e.model_id,
        e.region,
        e.status,
        e.completed_at is not null as ended,
        max(0.0,
            (strftime('%s', e.completed_at) - strftime('%s', e.started_at)) * 1000.0
            + (substr(e.completed_at, 20, 7) - substr(e.started_at, 20, 7)) * 1000.0) as ms
    from executions e
    where e.created_at >= ?1 and e.created_at < ?2
      and (?3 is null or e.model_id = ?3)
      and (?4 is null or lower(e.region) = lower(?4))
    order by e.created_at desc
    limit ?5
) t
group by
    t.model_id,
    t.region,
    t.status,
    t.ended,
    case
        when t.ms < 1000 then cast(t.ms as integer)
        when t.ms < 10000 then cast(t.ms / 10 as integer) * 10
        when t.ms < 100000 then cast(t.ms / 100 as integer) * 100
        else cast(t.ms / 1000 as integer) * 1000
    end
order by 1, 2, 3, 4, 6
