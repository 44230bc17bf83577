//! Following the source's changes: exactly once, whatever happens.

mod acting;
mod at_commit;
mod deferrable;
mod definitions;
mod faults;
mod forms;
mod joining;
mod kept_log;
mod lives;
mod missed;
mod partitions;
mod process;
mod rings;
mod standby;
mod torture;
mod triggers;
mod two_tasks;
mod workload;

use whimbrel_testkit::{Engine, Server};

use crate::ends::Ends;
use torture::{Blow, torture, torture_definitions};

macro_rules! pairs {
    ($($name:ident: $from:ident, $to:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            torture(Ends::between(Engine::$from, Engine::$to, "follow"), None, &[]).await;
        })*
    };
}

pairs! {
    from_postgres_15_to_postgres_15: Postgres15, Postgres15;
    from_postgres_15_to_postgres_18: Postgres15, Postgres18;
    from_postgres_15_to_mariadb: Postgres15, Mariadb1011;
    from_postgres_15_to_mysql: Postgres15, Mysql97;
    from_postgres_18_to_postgres_15: Postgres18, Postgres15;
    from_postgres_18_to_postgres_18: Postgres18, Postgres18;
    from_postgres_18_to_mariadb: Postgres18, Mariadb1011;
    from_postgres_18_to_mysql: Postgres18, Mysql97;
    from_mariadb_to_postgres_15: Mariadb1011, Postgres15;
    from_mariadb_to_postgres_18: Mariadb1011, Postgres18;
    from_mariadb_to_mariadb: Mariadb1011, Mariadb1011;
    from_mariadb_to_mysql: Mariadb1011, Mysql97;
    from_mysql_to_postgres_15: Mysql97, Postgres15;
    from_mysql_to_postgres_18: Mysql97, Postgres18;
    from_mysql_to_mariadb: Mysql97, Mariadb1011;
    from_mysql_to_mysql: Mysql97, Mysql97;
    from_postgres_17_to_mariadb_11: Postgres17, Mariadb118;
    from_mariadb_11_to_postgres_17: Mariadb118, Postgres17;
    from_postgres_17_to_postgres_18: Postgres17, Postgres18;
    from_postgres_18_to_postgres_17: Postgres18, Postgres17;
    from_postgres_16_to_mariadb: Postgres16, Mariadb1011;
    from_mysql_to_postgres_16: Mysql97, Postgres16;
    from_postgres_16_to_postgres_18: Postgres16, Postgres18;
    from_postgres_15_to_postgres_16: Postgres15, Postgres16;
    from_postgres_17_to_mysql: Postgres17, Mysql97;
    from_mysql_to_postgres_17: Mysql97, Postgres17;
    from_mariadb_to_mariadb_11: Mariadb1011, Mariadb118;
    from_mariadb_11_to_mysql: Mariadb118, Mysql97;
    from_mysql_to_mariadb_11: Mysql97, Mariadb118;
}

macro_rules! defined {
    ($($name:ident: $from:ident, $to:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            torture_definitions(Ends::between(Engine::$from, Engine::$to, "define")).await;
        })*
    };
}

defined! {
    with_definitions_from_postgres_to_postgres: Postgres15, Postgres18;
    with_definitions_from_mysql_to_postgres: Mysql97, Postgres15;
    with_definitions_from_mariadb_to_mysql: Mariadb1011, Mysql97;
}

async fn restarted(from: Engine, to: Engine) {
    let source = Server::private(from).unwrap();
    let target = Server::private(to).unwrap();
    let ends = Ends::on(&source, &target, "restarted");
    torture(
        ends,
        Some((&source, &target)),
        &[Blow::RestartSource, Blow::RestartTarget, Blow::Kill],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_restarts_of_postgres_and_mariadb() {
    restarted(Engine::Postgres15, Engine::Mariadb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_restarts_of_mariadb_and_postgres() {
    restarted(Engine::Mariadb1011, Engine::Postgres15).await;
}
