-- Enters $1 as the writer of all $2 shards, if there is no row of ours.
insert into beacon_collector.shard_writers (shard, writer)
select shard, $1
from generate_series(0, $2 - 1) shard
where not exists (
    select from public.trace_spans where metadata ->> 'collector' = 'beacon-collector'
)
on conflict (shard) do update set writer = excluded.writer
