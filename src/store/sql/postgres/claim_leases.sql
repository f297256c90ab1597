-- Takes or renews the leases named in $1 for holder $2, known as $3, for $4 seconds. By the server's
-- clock alone: what collectors take for the time does not matter. The first fence of a lease is the time,
-- so that it grows even where its row was deleted. now is selected, because an engine that distributes
-- tables takes no function call in `do update`.
with claimed as (
    insert into beacon_collector.leases as l (name, holder, label, fence, claimed_at, expires_at)
    select n.name, $2, $3, (extract(epoch from c.now) * 1000000)::bigint, c.now, c.now + make_interval(secs => $4)
    from unnest($1::text[]) n (name)
    cross join (select clock_timestamp() as now) c
    on conflict (name) do update
    set holder = excluded.holder,
        label = excluded.label,
        fence = case
            when l.holder = excluded.holder then l.fence
            else greatest(l.fence + 1, excluded.fence)
        end,
        claimed_at = excluded.claimed_at,
        expires_at = excluded.expires_at
    where l.holder = excluded.holder
       or l.expires_at <= excluded.claimed_at
    returning l.name, l.fence
)
-- The table as it was before: who had it.
select n.name, c.fence, l.label
from unnest($1::text[]) n (name)
left join claimed c on c.name = n.name
left join beacon_collector.leases l on l.name = n.name
