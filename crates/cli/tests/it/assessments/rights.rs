//! Privileges of users.

use whimbrel_testkit::Engine;

use super::{Assessed, PLAIN, database};

#[test]
fn rights_of_a_user_of_a_postgres_source() {
    let (source, target) = (database(Engine::Postgres15), database(Engine::Mariadb1011));
    let user = format!("u_{}", source.name());
    source
        .sql(&format!(
            "{PLAIN} create table closed (id int primary key); create table hidden (id int primary key);
             alter table hidden enable row level security;
             create role {user} login password 'a-secret'; grant select on plain, hidden to {user}"
        ))
        .unwrap();
    let few = source.url_as(&user, "a-secret");
    let assessed = Assessed::of(&few, &target.url(), &["--follow"]);
    let (select, security) = (
        "postgres-check-select-object-privileges",
        "postgres-check-row-security",
    );
    let (replication, triggers) = (
        "postgres-check-replication-privileges",
        "postgres-check-ddl-event-trigger",
    );
    assessed.finds(select, "failure", &["public.closed", "GRANT SELECT"]);
    assessed.finds(security, "failure", &["public.hidden", "BYPASSRLS"]);
    assessed.finds(replication, "failure", &["REPLICATION"]);
    assessed.finds(triggers, "warning", &["event triggers"]);
    let all = Assessed::of(&source.url(), &target.url(), &["--follow"]);
    all.is_quiet(&[select, security, replication, triggers]);
    source
        .sql(&format!("drop owned by {user}; drop role {user}"))
        .unwrap();
}

#[test]
fn rights_of_a_user_of_a_postgres_target() {
    let (source, target) = (database(Engine::Mysql97), database(Engine::Postgres15));
    source.sql(PLAIN).unwrap();
    let user = format!("u_{}", target.name());
    target
        .sql(&format!(
            "create role {user} login password 'a-secret'; create table plain (id int)"
        ))
        .unwrap();
    let few = target.url_as(&user, "a-secret");
    let rights = "postgres-check-target-privileges";
    let role = "postgres-check-session-replication-role";
    let assessed = Assessed::of(&source.url(), &few, &["--follow"]);
    assessed.finds(
        rights,
        "failure",
        &["may not make schema", "GRANT CREATE ON DATABASE"],
    );
    assessed.finds(role, "warning", &["GRANT SET ON PARAMETER"]);
    let into = ["--target-schema", "public"];
    let assessed = Assessed::of(&source.url(), &few, &into);
    assessed.finds(
        rights,
        "failure",
        &["public.plain", "neither drop nor alter"],
    );
    let all = Assessed::of(&source.url(), &target.url(), &["--follow"]);
    all.is_quiet(&[rights, role]);
    target.sql(&format!("drop role {user}")).unwrap();
}

#[test]
fn rights_of_users_of_mariadb_and_mysql() {
    for engine in [Engine::Mariadb1011, Engine::Mysql97] {
        let (here, other) = (database(engine), database(Engine::Postgres15));
        let name = here.name();
        let user = format!("u_{name}");
        let user = &user[..user.len().min(30)];
        here.sql(&format!(
            "{PLAIN} create table closed (id int primary key);
             create user {user}@'%' identified by 'a-secret'; grant select on {name}.plain to {user}@'%';
             grant insert on {name}.closed to {user}@'%'"
        ))
        .unwrap();
        other.sql(PLAIN).unwrap();
        let few = here.url_as(user, "a-secret");
        let assessed = Assessed::of(&few, &other.url(), &["--follow"]);
        let (select, replication, rights) = (
            "mysql-check-select-privileges",
            "mysql-check-replication-privileges",
            "mysql-check-target-privileges",
        );
        assessed.finds(select, "failure", &["closed", "SELECT"]);
        assessed.finds(replication, "failure", &["REPLICATION SLAVE"]);
        let as_target = Assessed::of(&other.url(), &few, &[]);
        as_target.finds(rights, "failure", &["CREATE", "DROP"]);
        let all = Assessed::of(&here.url(), &other.url(), &["--follow"]);
        all.is_quiet(&[select, replication]);
        here.sql(&format!("grant all on {name}.* to {user}@'%'"))
            .unwrap();
        Assessed::of(&other.url(), &few, &[]).is_quiet(&[rights]);
        here.sql(&format!("drop user {user}@'%'")).unwrap();
    }
}
