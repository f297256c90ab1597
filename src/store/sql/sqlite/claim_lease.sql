-- Takes or renews lease ?1 for holder ?2, known as ?3, now (?4, text) until ?5; ?6 is now in µs, the
-- first fence of a lease.
insert into leases as l (name, holder, label, fence, claimed_at, expires_at)
values (?1, ?2, ?3, ?6, ?4, ?5)
on conflict (name) do update
set holder = excluded.holder,
    label = excluded.label,
    fence = iif(l.holder = excluded.holder, l.fence, max(l.fence + 1, excluded.fence)),
    claimed_at = excluded.claimed_at,
    expires_at = excluded.expires_at
where l.holder = excluded.holder or l.expires_at <= excluded.claimed_at
returning fence
