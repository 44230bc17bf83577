create extension citext;
create schema "Only Views";
create type "Odd ""Type""" as (a int, "B b" text);
create type colour as enum ('red', 'it''s green');
create domain positive as int default 1 not null check (value > 0);
create function twice(n int) returns int language sql immutable as 'select n * 2';
create table "Order" (
    id int primary key,
    "select" text not null,
    amount numeric(10,2),
    doubled int generated always as (twice(id)) stored,
    owner_name text default current_user
);
create table log (id bigint generated always as identity primary key, what text);
create table "Spaced ""table""" (id int primary key, order_id int constraint "to order" references "Order" (id));
insert into "Order" (id, "select", amount, owner_name) select i, 'n' || i, i * 1.5, 'x' from generate_series(1, 20) i;
insert into "Spaced ""table""" values (1, 1), (2, 2);
comment on constraint "to order" on "Spaced ""table""" is 'refers to ''orders''';
create function noted() returns trigger language plpgsql as $body$
begin
    -- A "comment" with 'quotes' and a ;
    insert into public.log (what) values (tg_op || ' ' || coalesce(new."select", old."select"));
    return new;
end
$body$;
create view "A view" with (security_barrier = true) as select id, "select" as "from", amount from "Order" where amount > 3 with local check option;
create view aaa_on_views as select "from", twice(id) as twice from "A view";
create function of_view(wanted int) returns setof "A view" stable language sql begin atomic select * from "A view" where id = wanted; end;
create view zzz_on_function as select f."from" from of_view(7) f;
create materialized view "Totals ""m""" as select count(*) as n, sum(amount) as total from "Order";
create unique index "totals key" on "Totals ""m""" (n);
create materialized view empty as select 1 as one with no data;
create view "Only Views".far as select 1 as one union all select id from public."Order";
create procedure "Do it"(inout n int) language plpgsql as 'begin n := n + 1; end';
create function many(variadic n int[] default '{1}') returns colour language sql as 'select ''red''::public.colour';
create aggregate total (int) (sfunc = int4pl, stype = int, initcond = '0');
create trigger "note ""it""" after insert or update on "Order" for each row when (new.amount is not null) execute function noted();
create trigger off before delete on "Order" for each row execute function noted();
alter table "Order" disable trigger off;
create trigger always after delete on log for each statement execute function noted();
alter table log enable always trigger always;
create function into_view() returns trigger language plpgsql as 'begin return new; end';
create trigger instead instead of insert on "A view" for each row execute function into_view();
create rule "no ""delete""" as on delete to log do instead nothing;
create statistics "both of" (dependencies) on id, "select" from "Order";
alter table "Order" enable row level security;
create policy "see own" on "Order" for select using (owner_name = current_user);
create policy "write it" on "Order" as restrictive for update to $role using (true) with check (amount > 0);
grant select, insert on "Order" to $role with grant option;
grant update ("select") on "Order" to $role;
grant select on "A view" to public;
grant usage on schema public to $role;
grant execute on procedure "Do it" to $role;
revoke execute on function twice(int) from public;
grant select on log to "$gone";
comment on view "A view" is 'a "view"';
comment on function twice(int) is E'doubles\\';
comment on trigger off on "Order" is 'off';
comment on column "A view"."from" is 'col';
