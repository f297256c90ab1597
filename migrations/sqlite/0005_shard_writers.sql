-- Which process wrote rows last: who is still entered knows that nobody has written any since. There is one shard.
create table if not exists shard_writers (
    shard  integer primary key,
    writer text not null
);
