-- Decisions are found by the name of their alert; null where there was none, or the record is damaged.
-- Of a long name the beginning stands here: an index takes no more.

alter table decisions add column alert text;
create function alert_named_in(body text) returns text language plpgsql as $$
begin
    return left(body::json -> 'alert' ->> 'name', 200);
exception when others then
    return null;                        -- no JSON: the record stays as it is
end $$;
update decisions set alert = alert_named_in(body);
drop function alert_named_in(text);

create index decisions_by_alert on decisions (alert, seq);
create index decisions_by_alert_and_verdict on decisions (alert, verdict, seq);
create index decisions_by_target_and_alert on decisions (target, alert, seq);
