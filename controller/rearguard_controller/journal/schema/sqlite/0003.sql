-- Decisions are found by the name of their alert; null where there was none, or the record is damaged.
-- Of a long name the beginning stands here: an index takes no more.

alter table decisions add column alert text;
update decisions set alert = substr(json_extract(body, '$.alert.name'), 1, 200)
    where json_valid(body) and json_type(body) = 'object';

create index decisions_by_alert on decisions (alert, seq);
create index decisions_by_alert_and_verdict on decisions (alert, verdict, seq);
create index decisions_by_target_and_alert on decisions (target, alert, seq);
