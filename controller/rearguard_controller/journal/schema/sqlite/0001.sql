-- The journal in SQLite. Times are seconds since the epoch; `body` is the whole noun as JSON (journal/codec.py), the
-- other columns repeat what indexes and filters need.

create table meta (key text primary key, value text not null) strict;

-- Who writes: on SQLite an exclusive file lock stands for the lease, the row says who took it and how often.
create table lease (name text primary key, holder text not null, epoch integer not null, taken_at real not null) strict;

-- Accepted alerts. Rows wait until `judged_at` is set; judged ones are evidence.
create table inbox (
    id integer primary key,
    received_at real not null,
    body text not null,
    judged_at real
) strict;
create index inbox_waiting on inbox (id) where judged_at is null;

create table decisions (
    seq integer primary key,
    id text not null unique,
    target text not null,
    verdict text not null,
    decided_at real not null,
    body text not null
) strict;
create index decisions_by_target on decisions (target, seq);

-- A projection of rollback_events, written with each event.
create table rollbacks (
    seq integer primary key,
    id text not null unique,
    target text not null,
    "trigger" text not null,
    from_version text not null,
    phase text not null,                -- opened: waiting | running; closed: closed
    outcome text,
    roll_back_started_at real,          -- set in the transaction of the roll_back step's first intent
    idempotency_key text unique,
    body text not null
) strict;
create index rollbacks_by_target on rollbacks (target, seq);
create unique index one_open_rollback_per_target on rollbacks (target) where phase <> 'closed';
create unique index one_automatic_rollback_per_version on rollbacks (target, from_version)
    where "trigger" = 'alert' and roll_back_started_at is not null;

create table rollback_events (
    rollback_id text not null references rollbacks (id),
    n integer not null,
    at real not null,
    kind text not null,
    epoch integer not null,
    body text not null,
    primary key (rollback_id, n)
) strict, without rowid;

create table releases (
    target text not null,
    version text not null,
    first_seen real not null,
    body text not null,
    primary key (target, version)
) strict, without rowid;

create table target_state (target text primary key, body text not null) strict, without rowid;

create table operator_actions (
    id integer primary key,
    at real not null,
    operator text not null,
    action text not null,
    subject text not null,
    reason text not null
) strict;
create index operator_actions_by_subject on operator_actions (subject, id);
