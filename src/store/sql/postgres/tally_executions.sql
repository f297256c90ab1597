-- Executions written in [$1, $2), counted by what they are and how long they took: to the millisecond
-- below a second, beyond that to the third digit. What a count stands for is the mean, so that few rows
-- lose nothing. $3 model, $4 region: null for any. $5 the most that are counted, newest first.
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
        -- Not greatest(), which takes 0 for a row that lacks an end.
        case
            when e.completed_at < e.started_at then 0
            else date_part('epoch', e.completed_at - e.started_at) * 1000
        end as ms
    from public.executions e
    where e.created_at >= $1 and e.created_at < $2
      and ($3::text is null or e.model_id = $3)
      and ($4::text is null or lower(e.region) = lower($4))
    order by e.created_at desc
    limit $5
) t
group by
    t.model_id,
    t.region,
    t.status,
    t.ended,
    case
        when t.ms < 1000 then floor(t.ms)
        when t.ms < 10000 then floor(t.ms / 10) * 10
        when t.ms < 100000 then floor(t.ms / 100) * 100
        else floor(t.ms / 1000) * 1000
    end
order by 1, 2, 3, 4, 6
