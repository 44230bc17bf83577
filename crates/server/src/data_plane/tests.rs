//! Runs over databases in memory: what is at the target when a process is killed, and what the next run makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;
use whimbrel_connector::Connector;
use whimbrel_connector::memory::{
    Call, Cell, Faults, MemoryChange, MemoryConnector, MemoryDatabase, MemoryTable, When,
};
use whimbrel_core::mapping::TableMappings;
use whimbrel_core::settings::{SettingsDocument, TaskSettings};
use whimbrel_core::{Column, ColumnType, Engine, Generation, Table, TableName};
use whimbrel_store::{EndpointRole, SslMode, StopReason};

use super::{
    DataPlane as _, EndpointConfig, EngineDataPlane, Following, RunEnd, RunMode, TaskHandle,
    TaskSpec,
};
use crate::connectors::time_limit;

const DONE: RunEnd = RunEnd::Finished(StopReason::FullLoadOnlyFinished);
/// Long enough for a run that should wait to do what it should not.
const A_WHILE: Duration = Duration::from_millis(200);
const GOES_ON: RunMode = RunMode::Resume {
    completed: Vec::new(),
    may_begin: true,
};

fn name() -> TableName {
    TableName::new("s", "keyless")
}

/// Rows of a table without a key: arriving twice, they stay twice.
fn keyless(rows: i64) -> MemoryTable {
    MemoryTable {
        table: Table {
            engine: Engine::Postgres,
            name: name(),
            columns: vec![Column {
                name: "n".into(),
                ty: ColumnType::Int {
                    bits: 64,
                    unsigned: false,
                },
                native: "int".into(),
                nullable: false,
                generation: Generation::None,
                id: None,
                default: None,
            }],
            primary_key: Vec::new(),
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
            byte_estimate: None,
        },
        rows: (0..rows).map(|n| vec![Cell::Int(n)]).collect(),
        has_key: false,
    }
}

/// A source with rows, a target without, and a data plane between them.
struct Pair {
    source: MemoryDatabase,
    target: MemoryDatabase,
    data_plane: EngineDataPlane,
}

impl Pair {
    fn new(faults: Faults) -> Self {
        let (source, target) = (MemoryDatabase::new(), MemoryDatabase::new());
        source.put(keyless(50));
        let ends = (source.clone(), target.clone());
        let make_connector = move |endpoint: &EndpointConfig| {
            let (database, faults) = match endpoint.role {
                EndpointRole::Source => (&ends.0, Faults::none()),
                EndpointRole::Target => (&ends.1, faults.clone()),
            };
            Ok(Arc::new(MemoryConnector::new(database.clone(), faults)) as Arc<dyn Connector>)
        };
        Self {
            source,
            target,
            data_plane: EngineDataPlane::new(Arc::new(make_connector)),
        }
    }

    fn start(&self, mode: RunMode, following: Option<Following>) -> TaskHandle {
        let settings = r#"{"FullLoadSettings":{"TargetTablePrepMode":"DO_NOTHING"},"ErrorBehavior":{"RecoverableErrorInterval":1}}"#;
        let document = SettingsDocument::for_create(Some(settings)).unwrap();
        self.data_plane.start_task(TaskSpec {
            validated: BTreeMap::new(),
            task: "T".into(),
            source: endpoint(EndpointRole::Source),
            target: endpoint(EndpointRole::Target),
            mappings: TableMappings::of_patterns(&[("%".to_owned(), "%".to_owned())], &[]),
            settings: TaskSettings::of(&document),
            mode,
            following,
        })
    }

    fn assert_equal(&self) {
        assert_eq!(self.target.rows(&name()), self.source.rows(&name()));
    }
}

fn endpoint(role: EndpointRole) -> EndpointConfig {
    EndpointConfig {
        identifier: role.to_string(),
        role,
        engine_name: "postgres".into(),
        server_name: "memory".into(),
        port: 1,
        username: String::new(),
        password: None,
        database_name: None,
        ssl_mode: SslMode::None,
        ca_pem: None,
        attributes: BTreeMap::new(),
        settings: Map::new(),
    }
}

/// Lets a fresh run go on, as the control plane does.
async fn let_go_on(run: &TaskHandle) {
    run.cleared().await;
    assert!(run.progress().is_cleared);
    run.recorded();
}

#[tokio::test]
async fn a_fresh_start_writes_nothing_before_its_clearing_is_written_down() {
    let pair = Pair::new(Faults::none());
    let mut run = pair.start(RunMode::Fresh, None);
    run.cleared().await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(pair.target.rows(&name()), None);
    run.recorded();
    assert_eq!(run.ended().await, DONE);
    pair.assert_equal();
}

#[tokio::test]
async fn a_fresh_start_that_waits_for_its_clearing_can_be_stopped() {
    let pair = Pair::new(Faults::none());
    let mut run = pair.start(RunMode::Fresh, None);
    run.cleared().await;
    run.stop().cancel();
    assert_eq!(run.ended().await, RunEnd::Stopped);
    assert_eq!(pair.target.rows(&name()), None);
}

#[tokio::test]
async fn rows_without_a_key_are_not_doubled_when_no_figures_of_a_finished_load_were_written() {
    let pair = Pair::new(Faults::none());
    let mut run = pair.start(RunMode::Fresh, None);
    let_go_on(&run).await;
    assert_eq!(run.ended().await, DONE);
    // Killed before the end was written: the next process knows no more than that the target was cleared.
    let mut run = pair.start(GOES_ON, None);
    assert_eq!(run.ended().await, DONE);
    pair.assert_equal();
}

#[tokio::test]
async fn a_reload_loads_again_what_an_earlier_start_recorded() {
    let pair = Pair::new(Faults::none());
    let mut run = pair.start(RunMode::Fresh, None);
    let_go_on(&run).await;
    assert_eq!(run.ended().await, DONE);
    pair.target.drop_table(&name());
    let mut run = pair.start(RunMode::Fresh, None);
    let_go_on(&run).await;
    assert_eq!(run.ended().await, DONE);
    pair.assert_equal();
}

const CHANGES_ONLY: Following = Following {
    loads: false,
    start: None,
    stop_at: None,
};

#[tokio::test]
async fn changes_made_while_no_process_ran_arrive_although_no_figures_were_written() {
    let pair = Pair::new(Faults::none());
    pair.target.put(keyless(50));
    let run = pair.start(RunMode::Fresh, Some(CHANGES_ONLY));
    let_go_on(&run).await;
    let is_following = async {
        while run.progress().checkpoint.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), is_following)
        .await
        .unwrap();
    run.stop().cancel();
    let insert = MemoryChange::Insert(name(), vec![Cell::Int(1000)]);
    pair.source.transact(vec![insert]);
    let mut run = pair.start(GOES_ON, Some(CHANGES_ONLY));
    let arrived = async {
        while pair.target.rows(&name()) != pair.source.rows(&name()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        arrived = tokio::time::timeout(Duration::from_secs(20), arrived) => arrived.expect("the change arrives"),
        end = run.ended() => panic!("{end:?}"),
    }
    run.stop().cancel();
}

#[tokio::test]
async fn following_that_had_begun_does_not_begin_again_when_the_target_has_lost_its_checkpoint() {
    let pair = Pair::new(Faults::none());
    let mode = RunMode::Resume {
        completed: Vec::new(),
        may_begin: false,
    };
    let end = pair.start(mode, Some(CHANGES_ONLY)).ended().await;
    assert!(
        matches!(&end, RunEnd::Failed { message, .. } if message.contains("nothing to resume")),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_target_that_is_away_at_the_start_is_asked_again() {
    let pair = Pair::new(Faults::at(Call::Claim, 1, When::Before, 1));
    let mut run = pair.start(RunMode::Fresh, None);
    let_go_on(&run).await;
    assert_eq!(run.ended().await, DONE);
    let told = run.progress().interruption.expect("it was interrupted");
    assert_eq!((told.number, told.retry_number), (1, 1));
    pair.assert_equal();
}

#[test]
fn what_connecting_may_take_is_added_to_what_is_usual() {
    let usual = Duration::from_secs(30);
    let mut end = endpoint(EndpointRole::Source);
    assert_eq!(time_limit(usual, &end), usual);
    for (given, limit) in [("120", 270), ("300", 630), ("soon", 30), ("301", 30)] {
        end.attributes
            .insert("connectiontimeout".to_owned(), given.to_owned());
        assert_eq!(
            time_limit(usual, &end),
            Duration::from_secs(limit),
            "{given}"
        );
    }
}
