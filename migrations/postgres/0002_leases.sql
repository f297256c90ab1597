-- Which of several collectors reads a source, by the source's name. claimed_at and expires_at are times of
-- this server. The fence grows with every change of holder.
create table beacon_collector.leases (
    name       text primary key,
    holder     uuid not null,
    label      text not null,
    fence      bigint not null,
    claimed_at timestamptz not null,
    expires_at timestamptz not null
);

-- The fence under which a checkpoint was written: a lower one changes it no more.
alter table beacon_collector.checkpoints add column fence bigint not null default 0;
