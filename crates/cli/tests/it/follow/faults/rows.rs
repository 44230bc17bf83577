//! The rows of the fault matrix that concern loads, the seam and changes: which fault is made where. `docs/faults.md` is made of this.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::strikes::FAULTS;

/// A row of the matrix.
struct Row {
    number: u8,
    fault: &'static str,
    /// Tests besides the runner's entries, each as `file::name`. Files are named from the root of the tree.
    tests: &'static [&'static str],
    /// What is not made here, and why.
    missing: Option<&'static str>,
}

const fn row(number: u8, fault: &'static str, tests: &'static [&'static str]) -> Row {
    Row {
        number,
        fault,
        tests,
        missing: None,
    }
}

impl Row {
    const fn lacking(mut self, why: &'static str) -> Self {
        self.missing = Some(why);
        self
    }
}

/// The numbers of the rows that are due.
const DUE: [std::ops::RangeInclusive<u8>; 7] =
    [1..=1, 3..=17, 19..=23, 26..=32, 34..=36, 40..=40, 41..=41];

const SWEEP: &str = "crates/cli/tests/it/follow/faults/sweep.rs::killed_everywhere";
const TORTURE: &str = "crates/cli/tests/it/follow/torture.rs::torture";

const ROWS: &[Row] = &[
    row(1, "`kill -9` of the worker", &[SWEEP, TORTURE]),
    row(3, "Both at once; power loss", &["tests/api/test_changes.py::test_a_killed_service_goes_on_following"])
        .lacking("Files that were written and not synced are not dropped: the engine keeps nothing on disk, and taking back what a server did not sync needs a disk of the test's own."),
    row(4, "A worker stopped past its turn, then woken", &["crates/cli/tests/it/follow/lives.rs::taken_over"]),
    row(5, "Source restarted", &["crates/cli/tests/it/follow.rs::restarted", "crates/cli/tests/it/bad_input.rs::postgres_may_restart"]),
    row(6, "Source fails over to its standby, slot synced", &[
        "crates/postgres/tests/it/log_failover.rs::a_promoted_standby_that_has_our_slot_is_gone_on_with",
        "crates/postgres/tests/it/log_history.rs::a_promoted_standby_is_gone_on_with_up_to_where_it_left_the_old_timeline",
    ]).lacking("A whole task against a second server: there the standby is the server's own files. Before PostgreSQL 17 no standby has the slot, and it is row 7. That the standby lacks what the task has read, unless `synchronized_standby_slots` names it, is told as in row 8."),
    row(7, "Slot dropped or invalidated", &[
        "crates/postgres/tests/it/log_faults.rs::a_slot_that_was_dropped_is_an_error_that_names_the_gap",
        "crates/postgres/tests/it/log_faults.rs::a_slot_that_fell_too_far_behind_is_lost_and_says_so",
        "crates/cli/tests/it/follow/lives.rs::a_slot_that_somebody_dropped_is_an_error_that_says_so",
    ]).lacking("Repair by comparison is not built; a slot that is idle for too long needs a minute of waiting, and is told like one that fell behind."),
    row(8, "Source restored from an older backup", &[
        "crates/postgres/tests/it/log_history.rs::a_source_that_was_put_back_and_has_written_on_is_refused",
        "crates/postgres/tests/it/log_history.rs::a_source_that_was_put_back_while_nothing_was_written_is_refused",
        "crates/mysql/tests/it/log_history.rs::a_source_that_was_put_back_and_has_written_on_is_refused",
    ]),
    row(9, "Log purged or reset", &["crates/mysql/tests/it/log_places.rs::a_log_that_no_longer_reaches_back_is_an_error_that_names_the_gap"]),
    row(10, "A position moves to another server", &[
        "crates/postgres/tests/it/log_faults.rs::a_position_of_another_server_or_kind_is_refused",
        "crates/postgres/tests/it/log_history.rs::another_server_is_refused",
    ]),
    row(11, "Target restarted in the middle of the commit", &[
        "crates/postgres/tests/it/apply_fence.rs::a_cut_anywhere_leaves_rows_and_checkpoint_or_neither",
        "crates/mysql/tests/it/apply_atomic.rs::a_cut_connection_leaves_rows_and_checkpoint_or_neither",
        "crates/postgres/tests/it/record.rs::a_killed_target_keeps_exactly_the_recorded_chunks",
    ]),
    row(12, "Target fails over to a standby that lacks the last commits", &[])
        .lacking("The standby is the server's own files as they were some commits ago, not a second server; struck while changes are followed, and from PostgreSQL only so far back that its log is gone. A load has `a_table_is_finished_when_every_chunk_is_recorded` of the conformance suite."),
    row(13, "Target turned read-only", &[])
        .lacking("PostgreSQL's `default_transaction_read_only` does not reach sessions of ours (row 41): there the target comes back as a standby. Test users of MariaDB may write to a server that is read-only."),
    row(14, "Connection cut, cut after some bytes, half-open", &[
        TORTURE,
        "crates/cli/tests/it/bad_input.rs::a_postgres_source_may_be_cut_off_for_a_moment",
        "crates/engine/tests/it/cdc.rs::a_lost_connection_at_any_call_loses_and_doubles_nothing",
        "crates/postgres/tests/it/log_history.rs::a_source_that_falls_silent_is_given_up_and_one_that_is_quiet_is_not",
        "crates/mysql/tests/it/log_history.rs::a_source_that_falls_silent_is_given_up_and_one_that_is_quiet_is_not",
    ]).lacking("A target that falls silent is noticed by the system alone: in about a minute, or while something that was sent to it is not acknowledged, in about a quarter of an hour (`net.ipv4.tcp_retries2`); a statement may take as long as it likes. The test's proxy is no system, and cuts it off."),
    row(15, "Far away, stalled, one way only, flapping", &[])
        .lacking("Lost packets: they need `tc netem`, which kernels of build machines may lack; to the client they are delays."),
    row(16, "Address gone", &[])
        .lacking("A name that leads elsewhere: that needs a resolver of the test's own. No address is kept; each connection looks its name up."),
    row(17, "Disk of the target full", &[
        "crates/cli/tests/it/full_disk.rs::a_full_disk_of_postgres_is_named_and_a_resume_goes_on_once_there_is_space",
        "crates/cli/tests/it/full_disk.rs::a_full_disk_of",
        "crates/cli/tests/it/full_disk.rs::a_full_binary_log_is_waited_for",
    ]).lacking("Of MySQL and MariaDB while changes are followed."),
    row(19, "Deadlock, lock timeout, serialisation failure at the target", &[
        "crates/mysql/tests/it/apply_atomic.rs::a_deadlock_ends_the_transaction_and_nothing_is_written_outside_of_one",
    ]).lacking("Of the three only the deadlock is made."),
    row(20, "Unique keys that move", &[
        TORTURE,
        "crates/mysql/tests/it/apply.rs::what_violates_a_constraint_is_refused_and_the_transaction_goes_on",
        "crates/engine/tests/it/cdc.rs::what_is_left_out_is_written_down_and_not_counted_as_applied",
    ]),
    row(21, "Foreign keys", &[
        "crates/mysql/tests/it/apply.rs::numbers_generated_columns_and_cycles_of_foreign_keys_are_as_the_source_says",
        "crates/postgres/tests/it/apply_tables.rs::triggers_and_foreign_keys_do_not_act",
        "crates/mysql/tests/it/log_forms.rs::what_foreign_keys_change_is_captured_or_refused",
    ]),
    row(22, "Statement ended by a time limit", &[])
        .lacking("Time limits of a server's settings do not reach sessions of ours (row 41)."),
    row(23, "Connection limit reached", &[]),
    row(26, "Huge transactions", &[
        SWEEP,
        "crates/engine/tests/it/cdc.rs::transactions_larger_than_a_batch_are_applied_in_pieces",
        "crates/mysql/tests/it/apply_atomic.rs::many_rows_take_bounded_memory",
        "crates/postgres/tests/it/apply_fence.rs::a_batch_of_two_hundred_thousand_rows_takes_little_memory",
        "crates/mysql/tests/it/log_transactions.rs::a_transaction_of_many_rows_comes_in_bounded_blocks",
    ]).lacking("Ten gigabytes, and an hour."),
    row(27, "Rolled back, savepoints, two phases", &[
        TORTURE,
        "crates/postgres/tests/it/log.rs::nothing_of_a_rolled_back_transaction_or_savepoint_is_told",
        "crates/mysql/tests/it/log_transactions.rs::what_was_rolled_back_never_appears",
        "crates/mysql/tests/it/log_transactions.rs::transactions_in_two_phases_come_when_they_are_committed",
        "crates/postgres/tests/it/log_two_phase.rs::what_was_prepared_is_told_at_its_second_commit_and_nothing_of_what_was_rolled_back",
        "crates/postgres/tests/it/log_two_phase.rs::a_slot_that_sends_what_is_prepared_tells_the_same_to_every_reader",
        "crates/postgres/tests/it/log_open.rs::what_is_rolled_back_to_savepoints_is_left_out_of_a_transaction_that_is_sent_in_pieces",
        "crates/postgres/tests/it/log_open.rs::transactions_whose_pieces_alternate_are_told_in_the_order_of_their_commits",
    ]),
    row(28, "Large values and rows", &[
        "crates/cli/tests/it/memory.rs::a_wide_row_from_postgres_to_postgres",
        "crates/mysql/tests/it/long_rows.rs::rows_of_several_packets_arrive_whole",
        "crates/postgres/tests/it/partitions.rs::rows_larger_than_a_block_arrive",
    ]).lacking("A value of a gigabyte: 64 MiB stand for it. 1,600 columns."),
    row(29, "Definitions that change", &[
        SWEEP,
        "crates/cli/tests/it/follow/definitions.rs::followed",
        "crates/engine/tests/it/definitions.rs::definitions_of_every_kind_arrive_among_the_rows",
        "crates/engine/tests/it/definitions.rs::a_run_that_fails_anywhere_while_definitions_change_is_completed_by_a_resume",
    ]),
    row(30, "Definitions that change during the load", &[
        "crates/cli/tests/it/bad_input.rs::a_table_dropped_at_postgres_is_named",
        "crates/postgres/tests/it/snapshots.rs::a_table_truncated_or_moved_while_it_is_read_is_a_fault_and_not_empty",
        "crates/postgres/tests/it/snapshots.rs::a_resumed_plan_does_not_hold_once_rows_moved_or_columns_changed",
    ]),
    row(31, "Target's tables are other ones", &[
        "crates/postgres/tests/it/refusals.rs::a_value_too_long_for_a_table_that_was_there_is_refused",
        "crates/mysql/tests/it/apply.rs::tables_that_cannot_be_applied_to_say_what_to_do",
    ]).lacking("Narrower columns and further NOT NULLs while changes are followed."),
    row(32, "A value that the target cannot hold", &[
        "crates/postgres/tests/it/refusals.rs::values_without_a_place_are_refused_by_column_and_kind",
        "tests/api/test_changes.py::test_changes_that_cannot_be_applied_are_written_down",
    ]),
    row(34, "Checkpoint damaged", &[])
        .lacking("Damage to the file of open transactions has tests of its own beside its code; damage to the embedded store is SQLite's to find."),
    row(35, "Two tasks with one slot, server id or table", &[
        "crates/postgres/tests/it/record.rs::tasks_do_not_disturb_each_other",
        "crates/postgres/tests/it/log_faults.rs::a_new_reader_replaces_an_old_one",
        "crates/cli/tests/it/follow/two_tasks.rs::refused",
        "crates/engine/tests/it/feeding.rs::a_new_table_that_another_task_feeds_is_in_error_and_the_others_go_on",
        "tests/api/test_two_tasks.py::test_a_second_task_for_the_same_tables_is_refused",
    ]).lacking("Slots and server ids are made of a task's name, so tasks share none. A load that is not followed takes no table from others: two of them at once are not told apart."),
    row(36, "Slow target", &[
        "crates/cli/tests/it/follow/kept_log.rs::told_of",
        "crates/postgres/tests/it/log_watch.rs::what_a_slot_keeps_is_measured_against_what_the_source_keeps_at_most",
        "crates/mysql/tests/it/log_watch.rs::the_age_of_a_file_that_is_needed_is_measured_against_what_the_source_keeps",
        "tests/api/test_kept_log.py::test_a_log_near_its_limit_is_an_event_and_so_is_its_end",
    ]),
    row(40, "Stopped, deleted, reloaded, modified at any instant", &[
        "tests/api/test_crash.py::test_a_task_that_was_starting_or_stopping_gets_there",
        "tests/api/test_crash.py::test_a_task_that_was_being_deleted_takes_its_records_with_it",
        "tests/api/test_crash.py::test_whatever_a_task_at_rest_was_doing_it_ends_ready_or_gone",
        "tests/api/test_changes.py::test_one_table_is_loaded_again_while_the_others_are_followed",
    ]).lacking("Fifty calls at once."),
    row(41, "Settings of servers and roles", &["crates/mysql/tests/it/apply_atomic.rs::strict_servers_take_the_same_changes"])
        .lacking("`search_path`, `lower_case_table_names` and the collation of the target."),
];

const HEAD: &str = "# Faults\n
What can go wrong while tables are loaded and changes are followed, and which test makes it go wrong. Numbers are those of the project's fault
matrix; rows of other parts are not here.\n
*Struck* are the entries of the runner, `crates/cli/tests/it/follow/faults/`: a run is held at a named point of a phase, struck there, let go, and has
to end with equal rows at both ends, each change applied once; or to end in the words that its entry says.
`cargo x test` strikes some of them, as a seed chooses; `cargo x torture` goes on for as long as you like.\n
This page is tested against the code: `WHIMBREL_UPDATE_DOCS=1 cargo nextest run -p whimbrel-cli faults::rows` writes it anew.\n
| # | fault | struck | tests | not made |\n|---|---|---|---|---|\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn struck(number: u8) -> impl Iterator<Item = &'static str> {
    let ours = FAULTS.iter().filter(move |fault| fault.row == number);
    ours.map(|fault| fault.name)
}

fn due() -> BTreeSet<u8> {
    DUE.into_iter().flatten().collect()
}

#[test]
fn every_row_that_is_due_is_made_or_says_why_not() {
    let told: Vec<u8> = ROWS.iter().map(|row| row.number).collect();
    assert!(told.is_sorted(), "{told:?}");
    assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), due());
    for row in ROWS {
        let is_made = struck(row.number).next().is_some() || !row.tests.is_empty();
        assert!(is_made || row.missing.is_some(), "row {}", row.number);
    }
    let of_no_row = FAULTS.iter().filter(|fault| !due().contains(&fault.row));
    assert_eq!(of_no_row.count(), 0);
    let names: BTreeSet<_> = FAULTS.iter().map(|fault| fault.name).collect();
    assert_eq!(names.len(), FAULTS.len(), "two faults have one name");
}

#[test]
fn the_tests_that_rows_name_are_there() {
    for row in ROWS {
        for test in row.tests {
            let (file, name) = test.split_once("::").unwrap();
            let text = std::fs::read_to_string(root().join(file));
            let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(text.contains(name), "{test}");
        }
    }
}

#[test]
fn the_page_tells_the_rows() {
    let mut page = HEAD.to_owned();
    for row in ROWS {
        let struck: Vec<String> = struck(row.number).map(|name| format!("`{name}`")).collect();
        let names = row.tests.iter().map(|test| {
            let (file, name) = test.split_once("::").unwrap();
            let file = Path::new(file).file_stem().unwrap().to_string_lossy();
            format!("`{file}::{name}`")
        });
        let tests: Vec<String> = names.collect();
        writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            row.number,
            row.fault,
            struck.join(", "),
            tests.join(", "),
            row.missing.unwrap_or_default()
        )
        .unwrap();
    }
    let path = root().join("docs/faults.md");
    if std::env::var_os("WHIMBREL_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let is_told = std::fs::read_to_string(path).is_ok_and(|told| told == page);
    assert!(is_told, "docs/faults.md is out of date");
}
