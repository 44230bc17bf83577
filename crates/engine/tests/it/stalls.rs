//! What is told of a target that stands still.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use whimbrel_connector::Stall;
use whimbrel_connector::memory::{Call, Cell, Faults, MemoryChange};
use whimbrel_engine::{Alarm, Progress, run_cdc, run_full_load};

use crate::cdc::{caught_up, cdc, follow, pair};
use crate::support::{connector, name, spec};

fn stall(seconds: u64) -> Stall {
    Stall {
        message: format!("the disk has been full for {seconds} s"),
        remedy: "make room".to_owned(),
    }
}

/// Lets so many looks be taken.
async fn looks(count: u64) {
    tokio::time::sleep(Duration::from_secs(10 * count + 1)).await;
}

fn told(progress: &Progress) -> Option<Alarm> {
    progress.snapshot().target_alarm
}

#[tokio::test(start_paused = true)]
async fn a_target_that_stands_still_is_told_of_once_and_once_more_when_that_is_over() {
    let pair = pair();
    let faults = Faults::none().and_hung(Call::Connect, 1, || {});
    let (source, target) = (
        connector(&pair.source, &Faults::none()),
        connector(&pair.target, &faults),
    );
    let (progress, stop) = (Arc::new(Progress::new()), CancellationToken::new());
    let spec = spec();
    let run = run_full_load(&source, &target, &spec, &progress, &stop);
    let watch = async {
        looks(2).await;
        assert_eq!(told(&progress), None);
        pair.target.tell_stall(Some(stall(9)));
        looks(1).await;
        let first = told(&progress);
        let begun = Alarm {
            number: 1,
            message: stall(9).message,
            remedy: Some(stall(9).remedy),
        };
        assert_eq!(first, Some(begun));
        pair.target.tell_stall(Some(stall(19)));
        looks(2).await;
        assert_eq!(told(&progress), first);
        pair.target.tell_stall(None);
        looks(1).await;
        let over = told(&progress).unwrap();
        assert!(over.number == 2 && over.remedy.is_none(), "{over:?}");
        assert_eq!(progress.snapshot().interruption, None);
    };
    tokio::select! {
        outcome = run => panic!("the load was to hang: {outcome:?}"),
        () = watch => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_from_which_nothing_is_wanted_is_not_asked() {
    let pair = pair();
    pair.target.tell_stall(Some(stall(9)));
    let outcome = follow(&pair, &cdc(), &Faults::none(), async |progress| {
        caught_up(&pair, progress).await;
        looks(3).await;
        assert_eq!(told(progress), None);
    })
    .await;
    outcome.unwrap();
}

/// Another task that goes on from what users are shown has the changes of what was not loaded yet.
#[tokio::test(start_paused = true)]
async fn the_place_for_another_task_stays_in_front_of_what_is_loaded() {
    let loaded = Faults::none();
    let ends = pair();
    let outcome = follow(&ends, &cdc(), &loaded, async |_| {}).await;
    outcome.unwrap();
    let (hung, is_hung) = oneshot::channel();
    let nth = loaded.count(Call::Prepare) + 1;
    let faults = Faults::none().and_hung(Call::Prepare, nth, || hung.send(()).unwrap());
    let pair = pair();
    let (source, target) = (
        connector(&pair.source, &faults),
        connector(&pair.target, &faults),
    );
    let (progress, stop) = (Arc::new(Progress::new()), CancellationToken::new());
    let spec = cdc();
    let run = run_cdc(&source, &target, &spec, &progress, &stop);
    let watch = async {
        caught_up(&pair, &progress).await;
        let shown = || progress.snapshot().follow.unwrap();
        let before = shown();
        assert_eq!(before.recovery, before.checkpoint);
        spec.reloads.ask([name("orders")]);
        is_hung.await.unwrap();
        let row = vec![Cell::Int(7000), Cell::Text("more".to_owned())];
        let change = MemoryChange::Insert(name("items"), row);
        pair.source.transact(vec![change]);
        while shown().checkpoint == before.checkpoint {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(shown().recovery, before.recovery);
    };
    tokio::select! {
        outcome = run => panic!("the load was to hang: {outcome:?}"),
        () = watch => {}
    }
}
