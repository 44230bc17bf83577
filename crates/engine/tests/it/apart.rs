//! Whether a task would write into the tables that it reads.

use std::sync::Arc;

use whimbrel_connector::Connector;
use whimbrel_connector::memory::{Call, Faults, MemoryDatabase, When};
use whimbrel_engine::{RunError, check_ends_are_apart};

use crate::support::{connector, spec, table};

fn ends(
    source: &MemoryDatabase,
    target: &MemoryDatabase,
    faults: &Faults,
) -> [Arc<dyn Connector>; 2] {
    [source, target].map(|database| connector(database, faults))
}

fn shop() -> MemoryDatabase {
    let database = MemoryDatabase::new();
    database.put(table("orders", 3));
    database
}

#[tokio::test]
async fn two_databases_are_apart() {
    let [source, target] = ends(&shop(), &shop(), &Faults::none());
    check_ends_are_apart(&source, &target, &spec())
        .await
        .unwrap();
}

/// Whatever call fails: nobody is told that the ends are apart.
#[tokio::test]
async fn one_database_is_never_taken_for_two() {
    let database = shop();
    for call in [Call::Check, Call::Connect, Call::Tables] {
        for nth in 1..=4 {
            let faults = Faults::at(call, nth, When::Before, 1);
            let [source, target] = ends(&database, &database, &faults);
            let error = check_ends_are_apart(&source, &target, &spec())
                .await
                .unwrap_err();
            if faults.struck() > 0 {
                assert!(error.is_transient(), "{call:?} {nth}: {error}");
            } else {
                assert!(
                    matches!(error, RunError::SameDatabase(_)),
                    "{call:?} {nth}: {error}"
                );
            }
        }
    }
}
