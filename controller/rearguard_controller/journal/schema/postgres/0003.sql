-- Drills: whether the whole way back holds. `ended_at` is null while one goes on, `back_at` until its alert came back.
create table drills (
    seq bigint generated always as identity primary key,
    id text not null constraint drill_ids unique,
    target text not null,
    started_at double precision not null,
    ended_at double precision,
    back_at double precision,
    body text not null
);
create index drills_by_target on drills (target, seq);
create index drills_by_time on drills (started_at);
create unique index one_drill_per_target on drills (target) where ended_at is null;
