create table parents (
    id bigint not null auto_increment,
    code varchar(20) not null default 'none',
    state enum('new','paid','it''s') not null default 'new',
    amount decimal(10,2) not null default 1.50,
    made datetime(3) not null default current_timestamp(3),
    seen timestamp(6) null default current_timestamp(6) on update current_timestamp(6),
    flag bit(4) default b'101',
    day date default '2020-02-29',
    size int unsigned default 7 comment 'it''s a "size" \\ here',
    note text,
    raw varbinary(10),
    total decimal(12,2) generated always as (amount * 2) stored,
    primary key (id),
    unique key code (code),
    constraint `amount is positive` check (amount > 0 and amount < 100000)
) comment 'they have ''children''';
create index by_state on parents (state, made desc);
create index beginning on parents (note(10), size);
create unique index raws on parents (raw(4));
create fulltext index words on parents (note);
create table `Children ``of``` (
    `Id` int not null auto_increment primary key,
    `order` bigint,
    parent_code varchar(20),
    `select` int,
    `abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk` int default -3,
    key by_state (`order`, `select`),
    key `odd ``name`` ; drop` (parent_code),
    constraint `to parents` foreign key (`order`) references parents (id) on delete cascade on update set null,
    constraint `to code` foreign key (parent_code) references parents (code),
    constraint `to self` foreign key (`select`) references `Children ``of``` (`Id`),
    constraint `short` check (char_length(parent_code) between 1 and 20)
);
create table egg (id int primary key, hen int, key hen (hen));
create table hen (id int primary key, egg int, key egg (egg), constraint to_egg foreign key (egg) references egg (id));
alter table egg add constraint to_hen foreign key (hen) references hen (id);
insert into parents (id, code) values (7, 'c1'), (8, 'c2'), (100, 'c3');
delete from parents where id = 100;
insert into `Children ``of``` (`order`, parent_code) values (7, 'c1'), (8, 'c2');
insert into egg values (1, null);
insert into hen values (1, 1);
update egg set hen = 1;
create view lookout as select code from parents;
