-- The journal in PostgreSQL. Times are seconds since the epoch; `body` is the whole noun as JSON (journal/codec.py),
-- the other columns repeat what indexes and filters need. `meta` holds the schema's version and is made before this.

-- Who leads. `until` is null when nobody does; the epoch grows with each taking and is checked by every write that
-- only the leader may do.
create table lease (
    name text primary key,
    holder text not null,
    epoch bigint not null,
    until double precision
);

-- Accepted alerts. Rows wait until `judged_at` is set; judged ones are evidence.
create table inbox (
    id bigint generated always as identity primary key,
    received_at double precision not null,
    body text not null,
    judged_at double precision,
    damage text                         -- why the record cannot be read; such a row waits for nobody
);
create index inbox_waiting on inbox (id) where judged_at is null and damage is null;
create index inbox_judged on inbox (judged_at) where judged_at is not null;
create index inbox_damaged on inbox (received_at) where damage is not null;

create table decisions (
    seq bigint generated always as identity primary key,
    id text not null constraint decision_ids unique,
    target text not null,
    verdict text not null,
    decided_at double precision not null,
    body text not null
);
create index decisions_by_target on decisions (target, seq);
create index decisions_by_target_and_verdict on decisions (target, verdict, seq);
create index decisions_by_verdict on decisions (verdict, seq);
create index decisions_by_time on decisions (decided_at);

-- A projection of rollback_events, written with each event.
create table rollbacks (
    seq bigint generated always as identity primary key,
    id text not null constraint rollback_ids unique,
    target text not null,
    "trigger" text not null,
    from_version text not null,
    phase text not null,                -- opened: waiting | running; closed: closed
    outcome text,
    roll_back_started_at double precision,  -- set in the transaction of the roll_back step's first intent
    idempotency_key text constraint one_rollback_per_idempotency_key unique,
    decision_id text not null,
    closed_at double precision,
    body text not null
);
create index rollbacks_by_target on rollbacks (target, seq);
create index rollbacks_open on rollbacks (seq) where phase <> 'closed';
create index rollbacks_by_target_and_outcome on rollbacks (target, outcome, seq);
create index rollbacks_by_outcome on rollbacks (outcome, seq);
create index rollbacks_by_action on rollbacks (target, roll_back_started_at) where roll_back_started_at is not null;
create index rollbacks_by_decision on rollbacks (decision_id);
create index rollbacks_closed on rollbacks (closed_at) where phase = 'closed';
create unique index one_open_rollback_per_target on rollbacks (target) where phase <> 'closed';
create unique index one_automatic_rollback_per_version on rollbacks (target, from_version)
    where "trigger" = 'alert' and roll_back_started_at is not null;

create table rollback_events (
    rollback_id text not null references rollbacks (id),
    n integer not null,
    at double precision not null,
    kind text not null,
    epoch bigint,                       -- under which leader; null before anybody led
    body text not null,
    primary key (rollback_id, n)
);

-- What "once" needs of automatic rollbacks whose roll_back step has started; outlives the rollbacks themselves.
create table handled (
    target text not null,
    version text not null,
    rollback_id text not null,
    constraint one_automatic_rollback_ever primary key (target, version)
);

create table releases (
    target text not null,
    version text not null,
    first_seen double precision not null,
    body text not null,
    primary key (target, version)
);

create table target_state (target text primary key, body text not null);

create table operator_actions (
    id bigint generated always as identity primary key,
    at double precision not null,
    operator text not null,
    action text not null,
    subject text not null,
    reason text not null
);
create index operator_actions_by_subject on operator_actions (subject, id);
create index operator_actions_by_time on operator_actions (at);
