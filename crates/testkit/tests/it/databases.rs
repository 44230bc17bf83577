//! Every engine's shared server gives empty databases that hold what is put into them.

use whimbrel_testkit::{Engine, Server};

fn check(engine: Engine) {
    let server = Server::get(engine).unwrap();
    let database = server.database("Fresh one").unwrap();
    database
        .sql("create table t (id int primary key, name varchar(20));")
        .unwrap();
    database
        .sql("insert into t values (1, 'Ö𝄞'), (2, null)")
        .unwrap();
    assert_eq!(
        database.sql("select * from t order by id").unwrap(),
        "1\tÖ𝄞\n2\tNULL\n"
    );
    let error = database
        .sql("select * from missing")
        .unwrap_err()
        .to_string();
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn postgres15_keeps_rows() {
    check(Engine::Postgres15);
}

#[test]
fn postgres18_keeps_rows() {
    check(Engine::Postgres18);
}

#[test]
fn mariadb1011_keeps_rows() {
    check(Engine::Mariadb1011);
}

#[test]
fn mysql97_keeps_rows() {
    check(Engine::Mysql97);
}
