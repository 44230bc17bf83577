//! What users read of a task at its target.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::control_tables::{ControlValue, HISTORY, STATUS, SUSPENDED, TXN_STATE};
use whimbrel_connector::memory::{Call, Cell, Faults, MemoryChange, When};
use whimbrel_engine::{CdcOutcome, ControlTables, Progress, keep_control_tables, run_cdc};

use crate::cdc::{caught_up, cdc, pair};
use crate::support::{connector, name};

fn wanted() -> ControlTables {
    ControlTables {
        home: None,
        server_name: "here".to_owned(),
        task: "task".to_owned(),
        status: true,
        history: Some(Duration::from_hours(365 * 24 * 100)),
        suspended: true,
        recovery: true,
    }
}

fn text(text: &str) -> ControlValue {
    ControlValue::Text(text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn users_read_what_a_task_does_and_did() {
    let pair = pair();
    let source = connector(&pair.source, &Faults::none());
    // The first write fails: it is tried again.
    let faults = Faults::at(Call::WriteControl, 1, When::Before, 1);
    let target = connector(&pair.target, &faults);
    let progress = Arc::new(Progress::new());
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    let keeper = keep_control_tables(
        Arc::clone(&target),
        wanted(),
        Arc::clone(&progress),
        ended.clone(),
    );
    let keeper = tokio::spawn(keeper);
    let spec = cdc();
    let run = run_cdc(&source, &target, &spec, &progress, &stop);
    let status = || pair.target.control_rows(&STATUS);
    let follows = text("CHANGE PROCESSING");
    let watch = async {
        caught_up(&pair, &progress).await;
        while !status().first().is_some_and(|row| row[2] == follows) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(status()[0][..2], [text("here"), text("task")]);
        let row = vec![Cell::Int(900), Cell::Text("new".to_owned())];
        pair.source
            .transact(vec![MemoryChange::Insert(name("items"), row)]);
        caught_up(&pair, &progress).await;
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(run, watch);
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    ended.cancel();
    keeper.await.unwrap();
    assert_eq!(faults.struck(), 1);

    let rows = status();
    assert_eq!((rows.len(), rows[0].len()), (1, STATUS.columns.len()));
    assert_eq!(rows[0][2], text("NOT RUNNING"));
    let end = format!("memory:{}", pair.source.log_end());
    let nothing_waits = ControlValue::Number(0);
    assert_eq!((&rows[0][7], &rows[0][4]), (&text(&end), &nothing_waits));
    let told = pair.target.control_rows(&TXN_STATE);
    let checkpoint = text(&format!("checkpoint:V1#{end}"));
    assert_eq!((told.len(), &told[0][3]), (1, &checkpoint));
    let history = pair.target.control_rows(&HISTORY);
    let records: i64 = history
        .iter()
        .map(|row| match row[6] {
            ControlValue::Number(records) => records,
            _ => panic!("{row:?}"),
        })
        .sum();
    let loaded = i64::try_from(progress.snapshot().row_count()).unwrap();
    assert_eq!(records, loaded + 1, "{history:?}");
    assert_eq!(pair.target.control_rows(&SUSPENDED), Vec::<Vec<_>>::new());
    let items = &progress.snapshot().tables[&name("items")];
    assert!(items.latencies_ms.is_some());
}
