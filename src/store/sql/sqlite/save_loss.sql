insert into loss_ledger (source, lost_from, lost_to, reason, lost)
values (?, ?, ?, ?, ?)
on conflict (source, lost_from, lost_to, reason) do update
set lost = max(lost, excluded.lost)
