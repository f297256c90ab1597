insert into checkpoints (source, position, updated_at)
values (?, ?, ?)
on conflict (source) do update
set position = excluded.position, updated_at = excluded.updated_at
