-- A holder that lost its lease writes with a lower fence: what the next one wrote stands.
insert into beacon_collector.checkpoints as known (source, position, fence)
select source, position::jsonb, fence
from unnest($1::text[], $2::text[], $3::int8[]) u (source, position, fence)
on conflict (source) do update
set position = excluded.position, fence = excluded.fence, updated_at = excluded.updated_at
where known.fence <= excluded.fence
