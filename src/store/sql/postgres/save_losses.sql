insert into beacon_collector.loss_ledger as known (source, lost_from, lost_to, reason, lost)
select source, lost_from, lost_to, reason, lost
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::int8[])
    u (source, lost_from, lost_to, reason, lost)
on conflict (source, lost_from, lost_to, reason) do update
set lost = greatest(known.lost, excluded.lost)
