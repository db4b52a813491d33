-- Shards: parts of the targets, each with a lease of its own. Where there are several, the one lease is held for ever by
-- their number ("4 shards"), so that nobody else takes it. The epoch of a shard is never used again, whatever the number.
create table shard (
    number integer primary key,
    holder text not null,
    epoch bigint not null,
    until double precision
);

-- The replicas that live, by what they said last: they share the shards.
create table replica (
    name text primary key,
    since double precision not null,    -- when it came, or came back after a silence
    until double precision not null
);

alter table inbox add column shard integer;  -- whose leader is to judge it; null: the first one's, who finds out
