create table `Order` (id int primary key, `select` varchar(40) not null, amount decimal(10,2));
create table log (id bigint not null auto_increment primary key, what varchar(99));
create table `Spaced ``table``` (id int primary key, order_id int);
insert into `Order` values (1, 'n1', 1.5), (2, 'n2', 3), (3, 'n3', 4.5);
insert into log (what) values ('first');
insert into `Spaced ``table``` values (1, 1);
create sql security invoker view `Z first` as select id, `select` as `from`, amount from `Order` where amount > 2 with local check option;
create view `a on views` as select `from` from `Z first`;
create view `odd ``view``` as select 'it''s; "x" \\' as a, id from `Spaced ``table```;
delimiter //
create function `twice it`(n int) returns int deterministic no sql comment 'it''s' begin declare m int; set m = n * 2; return m; end//
create procedure `add ``to`` log`(in w varchar(99)) sql security invoker begin insert into log (what) values (concat(w, '; "', "x", '"')); end//
create trigger `note it` after insert on `Order` for each row begin insert into log (what) values (concat('ins ', new.`select`)); end//
create trigger `then` after insert on `Order` for each row follows `note it` insert into log (what) values ('then')//
create event `every day` on schedule every 1 day starts '2030-01-01 00:00:00' on completion preserve enable do delete from log where id < 0//
set sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'//
create procedure ansi() begin insert into "log" (what) values ('a\'); end//
set sql_mode = default//
delimiter ;
grant select, insert on `Order` to $user;
grant update (`select`) on `Order` to $user with grant option;
grant select on `Z first` to $user;
grant create temporary tables on * to $user;
grant execute on procedure `add ``to`` log` to $user;
