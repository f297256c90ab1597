-- Which of several collectors on this machine reads a source, by the source's name. The fence grows with
-- every change of holder.
create table leases (
    name       text primary key,
    holder     text not null,
    label      text not null,
    fence      integer not null,
    claimed_at text not null,
    expires_at text not null
) without rowid;

-- The fence under which a checkpoint was written: a lower one changes it no more.
alter table checkpoints add column fence integer not null default 0;
