insert into beacon_collector.checkpoints (source, position)
select source, position::jsonb
from unnest($1::text[], $2::text[]) u (source, position)
on conflict (source) do update
set position = excluded.position, updated_at = excluded.updated_at
