use whimbrel_store::{TableValidation, TaskStatus};

use super::*;
use crate::data_plane::TableProgress;
use crate::task_lifecycle::tests::task;

fn table() -> TableName {
    TableName::new("s", "a")
}

/// A process with one run, of a task that asks for a reload and a comparison of one table.
async fn asking() -> (Arc<Context>, Stored<ReplicationTask>, Requests) {
    let context = Context::of_test();
    let mut asking = task(TaskStatus::Running);
    asking.reloads.insert(table());
    asking.revalidations.insert(table());
    let stored = context.store.create(&asking).await.unwrap();
    let requests = Requests::default();
    let run = Run {
        instance_id: stored.instance_id.clone(),
        stop: CancellationToken::new(),
        requests: requests.clone(),
        asked: BTreeSet::new(),
        asked_to_compare: BTreeSet::new(),
        answered_in: 0,
    };
    context.runs.lock().insert(stored.id.clone(), run);
    (context, stored, requests)
}

fn taken(requests: &Requests) -> (usize, usize) {
    let (reloads, revalidations) = (requests.reloads.take(), requests.revalidations.take());
    (reloads.len(), revalidations.len())
}

fn watcher(context: &Arc<Context>, task: &ReplicationTask) -> Watcher {
    Watcher {
        context: Arc::clone(context),
        task_id: task.id.clone(),
        start: RunStart {
            epoch: task.epoch,
            at: EpochMs(0),
            elapsed_ms: 0,
            resumes: false,
            loads: true,
        },
        written: RunProgress::default(),
        applied_before: HashMap::new(),
    }
}

/// The run has heard of both.
fn answered() -> RunProgress {
    let progress = TableProgress {
        state: TableState::FullLoad,
        rows: 0,
        error_rows: 0,
        started_at: None,
        ended_at: None,
        message: None,
        not_created: Vec::new(),
        applied: ChangeCounts::default(),
        captured: ChangeCounts::default(),
        reload_count: 1,
        reload_answer_count: 1,
    };
    let validation = ValidationProgress {
        known: TableValidation::of(ValidationState::PreparingTable),
        request_count: 1,
    };
    RunProgress {
        tables: [(table(), progress)].into(),
        validations: Some([(table(), validation)].into()),
        ..RunProgress::default()
    }
}

#[tokio::test]
async fn a_task_that_was_read_before_the_answer_asks_for_nothing_again() {
    let (context, listed, requests) = asking().await;
    context.runs.ask(&listed);
    assert_eq!(taken(&requests), (1, 1));
    let mut watcher = watcher(&context, &listed);
    watcher.write(answered(), None).await.unwrap();
    context.runs.ask(&listed);
    assert_eq!(taken(&requests), (0, 0));
    // Whoever asks anew is heard.
    let mut transaction = context.store.begin().await.unwrap();
    let found = transaction.find::<ReplicationTask>(listed.id.as_str());
    let mut task = found.await.unwrap().unwrap();
    assert!(task.reloads.is_empty() && task.revalidations.is_empty());
    task.reloads.insert(table());
    let again = transaction.replace(&task).await.unwrap();
    transaction.commit().await.unwrap();
    context.runs.ask(&again);
    context.runs.ask(&again);
    assert_eq!(taken(&requests), (1, 0));
}

#[tokio::test]
async fn an_answer_that_could_not_be_written_lets_nothing_be_asked_again() {
    let (context, listed, requests) = asking().await;
    context.runs.ask(&listed);
    assert_eq!(taken(&requests), (1, 1));
    let mut watcher = watcher(&context, &listed);
    let mut transaction = context.store.begin().await.unwrap();
    let mut task = listed.value.clone();
    let written = watcher
        .write_tables(&mut *transaction, &mut task, &answered(), EpochMs(1))
        .await;
    let Answers {
        reloads,
        revalidations,
    } = written.unwrap();
    assert_eq!((reloads, revalidations), (vec![table()], vec![table()]));
    // The store refuses the commit.
    drop(transaction);
    context.runs.ask(&listed);
    assert_eq!(taken(&requests), (0, 0));
}
