use whimbrel_testkit::Engine;

use super::{filled, of_mysql, of_postgres};
use crate::Said;

fn has(lines: &[String], wanted: &[&str]) {
    for wanted in wanted {
        assert!(
            lines.iter().any(|line| line.contains(wanted)),
            "{wanted} is not in\n{}",
            lines.join("\n")
        );
    }
}

fn says(said: &Said, wanted: &[&str]) {
    for wanted in wanted {
        assert!(
            said.out.contains(wanted),
            "{wanted} is not in\n{}",
            said.out
        );
    }
}

fn into_postgres(source: Engine) {
    let ends = filled(source, Engine::Postgres15, "across");
    let said = ends.run_well("migrate", &["--objects", "all"]);
    let there = of_postgres(&ends.target);
    has(
        &there,
        &[
            "CREATE UNIQUE INDEX code ON public.parents USING btree (code)",
            "CREATE INDEX by_state ON public.\"Children `of`\" USING btree (\"order\", \"select\")",
            "CREATE INDEX parents_by_state ON public.parents USING btree (state, made DESC)",
            "CREATE INDEX beginning ON public.parents USING btree (\"left\"(note, 10), size)",
            "CREATE UNIQUE INDEX raws ON public.parents USING btree (SUBSTRING(raw FROM 1 FOR 4))",
            "CREATE INDEX \"odd `name` ; drop\" ON",
            "\"to parents\" FOREIGN KEY (\"order\") REFERENCES parents(id) ON UPDATE SET NULL ON DELETE CASCADE",
            "\"to code\" FOREIGN KEY (parent_code) REFERENCES parents(code)",
            "\"to self\" FOREIGN KEY (\"select\") REFERENCES \"Children `of`\"(\"Id\")",
            "egg to_hen FOREIGN KEY (hen) REFERENCES hen(id)",
            "hen to_egg FOREIGN KEY (egg) REFERENCES egg(id)",
            "\"amount is positive\" CHECK",
            "short CHECK (((char_length((parent_code)::text) >= 1) AND (char_length((parent_code)::text) <= 20)))",
            "parents.id bigint true d",
            "parents.code character varying(20) true  'none'::character varying",
            "parents.made timestamp(3) without time zone true  LOCALTIMESTAMP(3)",
            "parents.seen timestamp(6) with time zone false  CURRENT_TIMESTAMP(6)",
            "parents.flag bit(4) false  '0101'::\"bit\"",
            "parents.day date false  '2020-02-29'::date",
            "parents 0 they have 'children'",
            "it's a \"size\" \\ here",
        ],
    );
    says(
        &said,
        &[
            "not made: index",
            "full-text search works otherwise here",
            "whenever a row is updated, for which this server needs a trigger",
            ".lookout: it was converted from the SQL of",
        ],
    );
    assert_eq!(
        ends.target
            .sql("insert into parents (raw) values (null) returning id, code, amount")
            .unwrap(),
        "101\tnone\t1.50\n"
    );
}

#[test]
fn mysql_objects_arrive_in_postgres() {
    into_postgres(Engine::Mysql97);
}

#[test]
fn mariadb_objects_arrive_in_postgres() {
    into_postgres(Engine::Mariadb1011);
}

fn out_of_postgres(target: Engine) {
    let ends = filled(Engine::Postgres15, target, "across");
    let said = ends.run_well("migrate", &["--objects", "all"]);
    let there = of_mysql(&ends.target);
    has(
        &there,
        &[
            "parents: UNIQUE KEY `parents_code_key` (`code`)",
            "parents: KEY `by_state` (`state`,`made` DESC)",
            "parents: KEY `held` (`day`)",
            "parents: KEY `wordy` (`words`(768))",
            "Children \"of\": KEY `an index with \"quotes\"` (`order`,`select`)",
            "FOREIGN KEY (`order`) REFERENCES `parents` (`id`) ON DELETE CASCADE ON UPDATE SET NULL",
            "FOREIGN KEY (`parent_code`) REFERENCES `parents` (`code`)",
            "FOREIGN KEY (`select`) REFERENCES `Children \"of\"` (`Id`)",
            "egg: CONSTRAINT `egg_hen_fkey` FOREIGN KEY (`hen`) REFERENCES `hen` (`id`)",
            "CONSTRAINT `amount is positive` CHECK",
            "CONSTRAINT `parents_state_check` CHECK",
            "CONSTRAINT `odd name; drop` CHECK",
            "`id` bigint",
            "AUTO_INCREMENT=57",
            "they have ''children''",
        ],
    );
    says(
        &said,
        &[
            "not made: index public.parents.partly: an index here holds all rows, and it holds only some",
            "not made: index public.parents.lowered: it indexes an expression of the source",
            "not made: index public.parents.documents: there are no indexes of method gin here",
            "not made: index public.parents.one_day: NULLs do not agree with each other in unique indexes here",
            "not made: default public.parents.raw",
            "not made: view public.lookout: it was converted from the SQL of PostgreSQL",
            "could be deferred at the source",
        ],
    );
    ends.target
        .sql("insert into parents (words) values ('x')")
        .unwrap();
    assert_eq!(
        ends.target.sql("select id, code, state, amount, flag, feeling, facts from parents where words = 'x'").unwrap(),
        "57\tnone\tnew\t1.50\t1\tok\t{}\n"
    );
}

#[test]
fn postgres_objects_arrive_in_mysql() {
    out_of_postgres(Engine::Mysql97);
}

#[test]
fn postgres_objects_arrive_in_mariadb() {
    out_of_postgres(Engine::Mariadb1011);
}

fn within_the_family(source: Engine, target: Engine) {
    let ends = filled(source, target, "family");
    ends.run_well("migrate", &["--objects", "all"]);
    has(
        &of_mysql(&ends.target),
        &[
            "parents: UNIQUE KEY `code` (`code`)",
            "parents: KEY `by_state` (`state`,`made` DESC)",
            "parents: KEY `beginning` (`note`(10),`size`)",
            "parents: UNIQUE KEY `raws` (`raw`(4))",
            "parents: FULLTEXT KEY `words` (`note`)",
            "CONSTRAINT `to parents` FOREIGN KEY (`order`) REFERENCES `parents` (`id`) ON DELETE CASCADE ON UPDATE SET NULL",
            "CONSTRAINT `to_hen`",
            "CONSTRAINT `amount is positive` CHECK",
            "CONSTRAINT `short` CHECK",
            "AUTO_INCREMENT=101",
            "they have ''children''",
        ],
    );
    ends.target
        .sql("insert into parents (note) values ('x')")
        .unwrap();
    let found = ends.target.sql("select id, code, state, amount, bin(flag), day, size, seen is not null from parents where note = 'x'").unwrap();
    assert_eq!(found, "101\tnone\tnew\t1.50\t101\t2020-02-29\t7\t1\n");
}

#[test]
fn mysql_objects_arrive_in_mariadb() {
    within_the_family(Engine::Mysql97, Engine::Mariadb1011);
}

#[test]
fn mariadb_objects_arrive_in_mysql() {
    within_the_family(Engine::Mariadb1011, Engine::Mysql97);
}
