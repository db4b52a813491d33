-- Drills: whether the whole way back holds. `ended_at` is null while one goes on, `back_at` until its alert came back.
create table drills (
    seq integer primary key,
    id text not null unique,
    target text not null,
    started_at real not null,
    ended_at real,
    back_at real,
    body text not null
) strict;
create index drills_by_target on drills (target, seq);
create index drills_by_time on drills (started_at);
create unique index one_drill_per_target on drills (target) where ended_at is null;
