-- The lease has an end; records are kept for a time; unreadable alerts are set aside; long histories are read by index.

alter table lease drop column taken_at;
alter table lease add column until real;        -- null when nobody leads

alter table inbox add column damage text;       -- why the record cannot be read; such a row waits for nobody
drop index inbox_waiting;
create index inbox_waiting on inbox (id) where judged_at is null and damage is null;
create index inbox_judged on inbox (judged_at) where judged_at is not null;
create index inbox_damaged on inbox (received_at) where damage is not null;

alter table rollbacks add column decision_id text;
alter table rollbacks add column closed_at real;
update rollbacks set decision_id = json_extract(body, '$.decision_id'), closed_at = json_extract(body, '$.closed_at')
    where json_valid(body) and json_type(body) = 'object';

-- What "once" needs of automatic rollbacks whose roll_back step has started; outlives the rollbacks themselves.
create table handled (
    target text not null,
    version text not null,
    rollback_id text not null,
    primary key (target, version)
) strict, without rowid;
insert into handled (target, version, rollback_id)
    select target, from_version, id from rollbacks where "trigger" = 'alert' and roll_back_started_at is not null;

create index rollbacks_open on rollbacks (seq) where phase <> 'closed';
create index rollbacks_by_target_and_outcome on rollbacks (target, outcome, seq);
create index rollbacks_by_outcome on rollbacks (outcome, seq);
create index rollbacks_by_action on rollbacks (target, roll_back_started_at) where roll_back_started_at is not null;
create index rollbacks_by_decision on rollbacks (decision_id);
create index rollbacks_closed on rollbacks (closed_at) where phase = 'closed';
create index decisions_by_target_and_verdict on decisions (target, verdict, seq);
create index decisions_by_verdict on decisions (verdict, seq);
create index decisions_by_time on decisions (decided_at);
create index operator_actions_by_time on operator_actions (at);

-- The epoch of an event is null before anybody led.
create table events_before_2 as select * from rollback_events;
drop table rollback_events;
create table rollback_events (
    rollback_id text not null references rollbacks (id),
    n integer not null,
    at real not null,
    kind text not null,
    epoch integer,
    body text not null,
    primary key (rollback_id, n)
) strict, without rowid;
insert into rollback_events (rollback_id, n, at, kind, epoch, body)
    select rollback_id, n, at, kind, epoch, body from events_before_2;
drop table events_before_2;
