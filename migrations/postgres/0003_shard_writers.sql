-- Which process wrote last to the rows of a shard of ids, changed under the shard's lock: who is still entered
-- knows that nobody has written there since.
create table beacon_collector.shard_writers (
    shard  integer primary key,
    writer uuid not null
);
