use whimbrel_testkit::{Engine, TestDatabase};

use crate::ends::Ends;

use super::{differences, filled, of_mysql, of_postgres};

fn postgres_keeps_everything(source: Engine, target: Engine) {
    let ends = filled(source, target, "whole");
    let said = ends.run_well("migrate", &["--objects", "all"]);
    assert_eq!(
        differences(&of_postgres(&ends.source), &of_postgres(&ends.target)),
        "",
        "{}",
        said.out
    );
    assert!(!said.out.contains("not made"), "{}", said.out);
    let view = "select code from lookout order by code";
    assert_eq!(
        ends.target.sql(view).unwrap(),
        ends.source.sql(view).unwrap()
    );
    // The numbers go on where the source is.
    let next = r#"select nextval('parents_id_seq'), nextval('"Free Seq"'), nextval('seqs_id_seq'), nextval('"Children ""of""_Id_seq"')"#;
    assert_eq!(
        ends.target.sql(next).unwrap(),
        ends.source.sql(next).unwrap()
    );
    // Once more, over what is there.
    ends.run_well("migrate", &["--objects", "all"]);
    assert_eq!(
        differences(&of_postgres(&ends.source), &of_postgres(&ends.target)),
        ""
    );
}

#[test]
fn postgres_15_keeps_every_object() {
    postgres_keeps_everything(Engine::Postgres15, Engine::Postgres15);
}

#[test]
fn postgres_18_takes_every_object_of_15() {
    postgres_keeps_everything(Engine::Postgres15, Engine::Postgres18);
}

#[test]
fn indexes_of_vectors_come_too() {
    let ends = Ends::between(Engine::Mariadb118, Engine::Mariadb118, "vectors");
    let made = "create table t (id int primary key, v vector(3) not null, vector index near (v) m=6 distance=cosine);
        insert into t values (1, vec_fromtext('[1,2,3]')), (2, vec_fromtext('[-1,0.5,1e-9]'))";
    ends.source.sql(made).unwrap();
    for _ in 0..2 {
        let said = ends.run_well("migrate", &[]);
        assert!(!said.out.contains("not made"), "{}", said.out);
        let shown = |at: &TestDatabase| at.sql("show create table t").unwrap();
        assert!(shown(&ends.source).contains("VECTOR KEY `near`"));
        assert_eq!(shown(&ends.target), shown(&ends.source));
    }
    ends.run_well("validate", &[]);
}

fn mysql_keeps_everything(engine: Engine) {
    let ends = filled(engine, engine, "whole");
    let said = ends.run_well("migrate", &["--objects", "all"]);
    let strip = |mut lines: Vec<String>| {
        for line in &mut lines {
            // How a database's default shows is not the tables' own.
            if let Some(at) = line.find("DEFAULT CHARSET") {
                let comment = line.find(" COMMENT=").map(|at| line[at..].to_owned());
                line.truncate(at);
                line.push_str(&comment.unwrap_or_default());
            }
        }
        lines
    };
    let (source, target) = (strip(of_mysql(&ends.source)), strip(of_mysql(&ends.target)));
    assert_eq!(differences(&source, &target), "", "{}", said.out);
    assert!(!said.out.contains("not made"), "{}", said.out);
    ends.run_well("migrate", &["--objects", "all"]);
    assert_eq!(differences(&source, &strip(of_mysql(&ends.target))), "");
}

#[test]
fn mariadb_keeps_every_object() {
    mysql_keeps_everything(Engine::Mariadb1011);
}

#[test]
fn mysql_keeps_every_object() {
    mysql_keeps_everything(Engine::Mysql97);
}
