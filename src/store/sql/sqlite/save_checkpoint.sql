insert into checkpoints as known (source, position, fence, updated_at)
values (?, ?, ?, ?)
on conflict (source) do update
set position = excluded.position, fence = excluded.fence, updated_at = excluded.updated_at
where known.fence <= excluded.fence
