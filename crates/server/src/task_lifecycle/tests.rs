use std::collections::BTreeSet;

use whimbrel_core::settings::SettingsDocument;
use whimbrel_store::{EndpointId, InstanceId, TaskId};

use super::*;

pub(crate) fn task(status: TaskStatus) -> ReplicationTask {
    ReplicationTask {
        id: TaskId("T".into()),
        identifier: "t".into(),
        source_endpoint_id: EndpointId("S".into()),
        target_endpoint_id: EndpointId("D".into()),
        instance_id: InstanceId("I".into()),
        move_to: None,
        migration_type: MigrationType::FullLoad,
        table_mappings: String::new(),
        settings: SettingsDocument::default(),
        status,
        resting_status: TaskStatus::Ready,
        run: None,
        epoch: 0,
        ever_started: status != TaskStatus::Ready,
        started_as: None,
        is_cleared: false,
        is_loaded: false,
        ran_between: None,
        stop_reason: None,
        last_failure_message: None,
        cdc_start_time: None,
        cdc_start_position: None,
        cdc_stop_position: None,
        recovery_checkpoint: None,
        reloads: BTreeSet::default(),
        revalidations: BTreeSet::default(),
        task_data: None,
        created_at: EpochMs(0),
        statistics: TaskStatistics::default(),
    }
}

const NOW: EpochMs = EpochMs(1000);

#[test]
fn calls_are_allowed_in_their_statuses_only() {
    type Step = fn(&mut ReplicationTask) -> Result<(), Refusal>;
    use TaskStatus as S;
    let steps: [(Step, &[TaskStatus]); 5] = [
        (
            |task| start(task, StartType::Reload, NOW),
            &[S::Stopped, S::Failed],
        ),
        (stop, &[S::Starting, S::Running]),
        (modify, &[S::Ready, S::Stopped, S::Failed, S::FailedMove]),
        (
            start_move,
            &[S::Ready, S::Stopped, S::Failed, S::FailedMove],
        ),
        (
            delete,
            &[S::Creating, S::Ready, S::Stopped, S::Failed, S::FailedMove],
        ),
    ];
    for (number, (step, allowed)) in steps.into_iter().enumerate() {
        for &status in TaskStatus::ALL {
            let result = step(&mut task(status));
            assert_eq!(
                result.is_ok(),
                allowed.contains(&status),
                "step {number} in {status}: {result:?}"
            );
        }
    }
}

#[test]
fn the_first_start_and_only_it_is_start_replication() {
    let mut fresh = task(TaskStatus::Ready);
    assert_eq!(
        start(&mut fresh, StartType::Resume, NOW),
        Err(Refusal::FirstStart)
    );
    assert_eq!(
        start(&mut fresh, StartType::Reload, NOW),
        Err(Refusal::FirstStart)
    );
    start(&mut fresh, StartType::Start, NOW).unwrap();
    assert_eq!(fresh.status, TaskStatus::Starting);
    for status in [TaskStatus::Stopped, TaskStatus::Failed] {
        assert_eq!(
            start(&mut task(status), StartType::Start, NOW),
            Err(Refusal::NotFirstStart)
        );
    }
}

#[test]
fn a_fresh_start_restarts_the_counters_and_a_resume_keeps_them() {
    let mut stopped = task(TaskStatus::Stopped);
    stopped.statistics.tables_loaded = 3;
    stopped.statistics.fresh_started_at = Some(EpochMs(1));
    let mut reloaded = stopped.clone();
    start(&mut stopped, StartType::Resume, NOW).unwrap();
    assert_eq!(
        (
            stopped.statistics.tables_loaded,
            stopped.statistics.fresh_started_at
        ),
        (3, Some(EpochMs(1)))
    );
    assert_eq!(stopped.statistics.started_at, Some(NOW));
    start(&mut reloaded, StartType::Reload, NOW).unwrap();
    assert_eq!(
        (
            reloaded.statistics.tables_loaded,
            reloaded.statistics.fresh_started_at
        ),
        (0, Some(NOW))
    );
}

#[test]
fn a_finished_full_load_stops_with_its_reason() {
    let mut task = task(TaskStatus::Running);
    assert!(end_run(
        &mut task,
        &RunEnd::Finished(StopReason::FullLoadOnlyFinished),
        NOW
    ));
    assert_eq!(
        (task.status, task.stop_reason),
        (TaskStatus::Stopped, Some(StopReason::FullLoadOnlyFinished))
    );
}

#[test]
fn a_run_that_was_stopped_by_nobody_goes_on_later() {
    let mut running = task(TaskStatus::Running);
    assert!(!end_run(&mut running, &RunEnd::Stopped, NOW));
    assert_eq!(running.status, TaskStatus::Running);
    let mut stopping = task(TaskStatus::Stopping);
    assert!(end_run(&mut stopping, &RunEnd::Stopped, NOW));
    assert_eq!(
        (stopping.status, stopping.stop_reason),
        (TaskStatus::Stopped, Some(StopReason::Normal))
    );
}

#[test]
fn a_failure_is_told_with_its_level() {
    let mut task = task(TaskStatus::Running);
    let end = RunEnd::Failed {
        message: "no tables".into(),
        is_recoverable: false,
    };
    assert!(end_run(&mut task, &end, NOW));
    assert_eq!(task.status, TaskStatus::Failed);
    let text = task.last_failure_message.unwrap();
    assert_eq!(
        text,
        "Last Error no tables Stop Reason FATAL_ERROR Error Level FATAL"
    );
}

#[test]
fn a_run_resumes_only_what_it_has_prepared_itself() {
    let mut task = task(TaskStatus::Stopped);
    task.is_cleared = true;
    start(&mut task, StartType::Reload, NOW).unwrap();
    assert_eq!(
        begin_run(&mut task),
        Some(BegunRun {
            resumes: false,
            was_running: false
        })
    );
    // The process dies before the target was prepared: the next one begins afresh too.
    assert_eq!(
        begin_run(&mut task),
        Some(BegunRun {
            resumes: false,
            was_running: true
        })
    );
    task.is_cleared = true;
    assert_eq!(
        begin_run(&mut task),
        Some(BegunRun {
            resumes: true,
            was_running: true
        })
    );
    assert_eq!(task.epoch, 3);
}

#[test]
fn a_modified_task_goes_back_to_where_it_was() {
    for status in [TaskStatus::Ready, TaskStatus::Stopped, TaskStatus::Failed] {
        let mut task = task(status);
        modify(&mut task).unwrap();
        assert_eq!(task.status, TaskStatus::Modifying);
        assert!(settle(&mut task));
        assert_eq!(task.status, status);
    }
}

#[test]
fn a_resume_goes_on_only_from_what_the_task_did_before() {
    use MigrationType as T;
    let types = [T::FullLoad, T::Cdc, T::FullLoadAndCdc];
    for (was, is) in types.into_iter().flat_map(|was| types.map(|is| (was, is))) {
        let mut task = task(TaskStatus::Ready);
        task.migration_type = was;
        start(&mut task, StartType::Start, NOW).unwrap();
        task.status = TaskStatus::Stopped;
        modify(&mut task).unwrap();
        task.migration_type = is;
        settle(&mut task);
        let goes_on_following = (was, is) == (T::FullLoadAndCdc, T::Cdc);
        if goes_on_following {
            // Tables that are not loaded would be filled beside the rows that they have.
            let resumed = start(&mut task.clone(), StartType::Resume, NOW);
            assert_eq!(resumed, Err(Refusal::OtherType { was, is }));
            task.statistics.full_load_finished_at = Some(NOW);
        }
        let expected = if was == is || goes_on_following {
            Ok(())
        } else {
            Err(Refusal::OtherType { was, is })
        };
        let resumed = start(&mut task.clone(), StartType::Resume, NOW);
        assert_eq!(resumed, expected, "{was} to {is}");
        let anew = if is == T::Cdc {
            StartType::Start
        } else {
            StartType::Reload
        };
        start(&mut task, anew, NOW).unwrap();
        task.status = TaskStatus::Stopped;
        start(&mut task, StartType::Resume, NOW).unwrap();
    }
}

#[test]
fn what_a_task_of_an_older_version_did_is_known_when_it_is_modified() {
    let mut task = task(TaskStatus::Stopped);
    modify(&mut task).unwrap();
    task.migration_type = MigrationType::Cdc;
    settle(&mut task);
    assert_eq!(
        start(&mut task, StartType::Resume, NOW),
        Err(Refusal::OtherType {
            was: MigrationType::FullLoad,
            is: MigrationType::Cdc
        })
    );
}
