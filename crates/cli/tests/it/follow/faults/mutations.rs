//! Mistakes made on purpose: each has to be found by the checks of a run, which finds nothing where it is not made.

use std::panic::{AssertUnwindSafe, catch_unwind};

use whimbrel_connector::Mutation;
use whimbrel_connector::failpoint::Point;
use whimbrel_testkit::Engine;

use super::strikes::{Outcome, zombie};
use super::{Run, tally};
use crate::ends::{Ends, wait_until};
use crate::follow::process::{Following, Hold};
use crate::follow::torture::Arena;
use crate::random::Random;

/// A change that does not fit what is there ends the command.
const REFUSED: &str = "the target refused the row";

/// An arena whose commands make a mistake, or make none.
async fn arena(from: Engine, to: Engine, mutation: Option<Mutation>) -> Arena {
    let ends = Ends::between(from, to, "mutation");
    let mut arena = Arena::new(ends, Random::announced()).await;
    arena.mutation = mutation;
    arena
}

/// What the first check that fails says.
fn complaint(run: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Some(text.unwrap_or("something without words").to_owned())
}

/// With the mistake, a run is told in one of these ways: which check is the first to see it depends on what was written meanwhile.
fn caught(mutation: Mutation, told: Option<String>, ways: &[&str]) {
    let told = told.unwrap_or_else(|| panic!("nothing finds {mutation:?}"));
    assert!(ways.iter().any(|words| told.contains(words)), "{told}");
    tally(0, &format!("mutation {}", mutation.name()));
}

/// A worker has a batch at hand while another takes over. Without the mistake that is the runner's `zombie`.
async fn replaced(from: Engine, to: Engine, mutation: Option<Mutation>) -> Option<String> {
    let arena = arena(from, to, mutation).await;
    let mut random = Random::announced();
    let mut run = Run::held(arena, Hold::at(Point::BatchGathered, 3), &mut random, None);
    complaint(|| {
        zombie(&mut run);
        run.finish(&Outcome::Equal);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_check_of_the_epoch_is_found_at_postgres() {
    let (from, to) = (Engine::Mysql97, Engine::Postgres18);
    let mutation = Mutation::NoEpochCheck;
    let told = replaced(from, to, Some(mutation)).await;
    caught(mutation, told, &["a worker that was replaced"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_check_of_the_epoch_is_found_at_mariadb() {
    let (from, to) = (Engine::Postgres15, Engine::Mariadb1011);
    let mutation = Mutation::NoEpochCheck;
    let told = replaced(from, to, Some(mutation)).await;
    caught(mutation, told, &["a worker that was replaced"]);
}

/// A worker is killed between what it has applied and the commit.
async fn killed_before_commit(
    from: Engine,
    to: Engine,
    mutation: Option<Mutation>,
) -> Option<String> {
    let arena = arena(from, to, mutation).await;
    let mut random = Random::announced();
    let mut run = Run::held(arena, Hold::at(Point::RowsApplied, 2), &mut random, None);
    let task = run.following.task();
    let checkpoint = format!(
        "select split_part(split_part(checkpoint, '|', 1), '@', 1) from awsdms_control.awsdms_task_epoch where task_name = '{task}'"
    );
    let checkpoint = run.arena.ends.target.sql(&checkpoint).unwrap();
    let too_far = format!(
        "select count(*) from pg_replication_slots where database = current_database() and confirmed_flush_lsn > '{}'",
        checkpoint.trim_end()
    );
    let source = &run.arena.ends.source;
    wait_until(|| mutation.is_none() || source.sql(&too_far).unwrap() == "1\n");
    run.following.kill();
    run.following = run.arena.resume();
    complaint(|| run.finish(&Outcome::Equal))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_before_the_commit_is_found() {
    let (from, to) = (Engine::Postgres15, Engine::Postgres18);
    assert_eq!(killed_before_commit(from, to, None).await, None);
    let mutation = Mutation::ConfirmBeforeCommit;
    let told = killed_before_commit(from, to, Some(mutation)).await;
    caught(mutation, told, &["are missing", "a change", REFUSED]);
}

/// A worker is killed after some batches.
async fn killed_after_commit(
    from: Engine,
    to: Engine,
    mutation: Option<Mutation>,
) -> Option<String> {
    let arena = arena(from, to, mutation).await;
    let mut random = Random::announced();
    let mut run = Run::held(arena, Hold::at(Point::BatchCommitted, 6), &mut random, None);
    run.following.kill();
    run.following = run.arena.resume();
    complaint(|| run.finish(&Outcome::Equal))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_applied_twice_is_found() {
    let (from, to) = (Engine::Mariadb1011, Engine::Postgres18);
    assert_eq!(killed_after_commit(from, to, None).await, None);
    let mutation = Mutation::FirstCheckpointStays;
    let told = killed_after_commit(from, to, Some(mutation)).await;
    caught(mutation, told, &["a change", REFUSED]);
}

/// A table is loaded while others are followed, and changed after its rows were read.
async fn joined_late(from: Engine, to: Engine, mutation: Option<Mutation>) -> Option<String> {
    let mut arena = arena(from, to, mutation).await;
    let mut following = arena.begin();
    arena.wait_for_mark(&mut following);
    following.interrupt();
    let hold = Hold::at(Point::ChunkWritten, 1);
    let mut following = arena.resume_held(&hold);
    following.wait_until("it followed", Following::is_following);
    let table =
        "create table late (id int primary key, v int); insert into late values (1, 1), (2, 2)";
    arena.ends.source.sql(table).unwrap();
    following.wait_until("it read the table", |_| hold.is_held());
    let change = "update late set v = v + 10; insert into late values (3, 3)";
    arena.ends.source.sql(change).unwrap();
    arena.wait_for_mark(&mut following);
    hold.let_go();
    let ends = &arena.ends;
    following.wait_until("it was loaded", |_| ends.arrived("late") > 0);
    // Behind it the table is followed like the others.
    let last = "insert into late values (4, 4)";
    ends.source.sql(last).unwrap();
    following.wait_until("the table joined", |_| {
        ends.arrived("late where id = 4") > 0
    });
    arena.wait_for_mark(&mut following);
    complaint(|| {
        let of_all = "select id, v from late order by id";
        let [there, here] =
            [&arena.ends.source, &arena.ends.target].map(|end| end.sql(of_all).unwrap());
        assert_eq!(there, here, "rows of late differ");
        arena.check_equal();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_read_on_from_the_later_of_two_positions_is_found() {
    let (from, to) = (Engine::Mysql97, Engine::Postgres15);
    assert_eq!(joined_late(from, to, None).await, None);
    let mutation = Mutation::LaterPosition;
    let told = joined_late(from, to, Some(mutation)).await;
    caught(
        mutation,
        told,
        &["rows of late differ", "a change", REFUSED],
    );
}

/// Rows change whose large values stay, and are not sent.
async fn changed_in_part(from: Engine, to: Engine, mutation: Option<Mutation>) -> Option<String> {
    let mut arena = arena(from, to, mutation).await;
    let mut following = arena.begin();
    arena.wait_for_mark(&mut following);
    // What was there before is compressed, and small.
    for set in [
        "big = repeat('x', 9000)",
        "note = 'changed', counter = counter + 1",
    ] {
        let change = format!("update items set {set} where id > 1400");
        arena.ends.source.sql(&change).unwrap();
        arena.wait_for_mark(&mut following);
    }
    complaint(|| {
        arena.check_equal();
        following.interrupt();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_not_sent_and_is_taken_for_null_is_found() {
    let (from, to) = (Engine::Postgres15, Engine::Mariadb1011);
    assert_eq!(changed_in_part(from, to, None).await, None);
    let mutation = Mutation::NotSentIsNull;
    let told = changed_in_part(from, to, Some(mutation)).await;
    caught(mutation, told, &["rows of items differ"]);
}
