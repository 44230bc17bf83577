//! What is told of the log that the source keeps for a task.

use std::time::Duration;

use whimbrel_connector::KeptLog;
use whimbrel_connector::memory::{Call, Faults, When};
use whimbrel_engine::Progress;

use crate::cdc::{cdc, follow, pair};

fn kept(percent: u8) -> KeptLog {
    KeptLog {
        percent,
        message: format!("{percent} percent are kept"),
        remedy: "take more changes".to_owned(),
    }
}

/// Lets so many looks be taken.
async fn looks(count: u64) {
    tokio::time::sleep(Duration::from_secs(10 * count + 1)).await;
}

/// Number, words, and whether it is over.
fn told(progress: &Progress) -> Option<(u64, String, bool)> {
    let alarm = progress.snapshot().log_alarm?;
    Some((alarm.number, alarm.message, alarm.remedy.is_none()))
}

#[tokio::test(start_paused = true)]
async fn a_log_near_its_limit_is_told_of_once_and_once_more_when_that_is_over() {
    let pair = pair();
    let outcome = follow(&pair, &cdc(), &Faults::none(), async |progress| {
        looks(2).await;
        pair.source.tell_kept_log(Some(kept(49)));
        looks(2).await;
        assert_eq!(told(progress), None);
        let first = Some((1, "60 percent are kept".to_owned(), false));
        // It grows, and shrinks not far enough.
        for percent in [60, 99, 45, 70, 40] {
            pair.source.tell_kept_log(Some(kept(percent)));
            looks(2).await;
            assert_eq!(told(progress), first, "{percent}");
        }
        pair.source.tell_kept_log(None);
        looks(2).await;
        let over = told(progress).unwrap();
        assert!(over.0 == 2 && over.2, "{over:?}");
        pair.source.tell_kept_log(Some(kept(100)));
        looks(2).await;
        let again = Some((3, "100 percent are kept".to_owned(), false));
        assert_eq!(told(progress), again);
    })
    .await;
    outcome.unwrap();
}

#[tokio::test(start_paused = true)]
async fn looks_that_fail_harm_nobody_and_are_taken_again() {
    let pair = pair();
    pair.source.tell_kept_log(Some(kept(80)));
    let faults = Faults::at(Call::LogLook, 1, When::Before, 5);
    let outcome = follow(&pair, &cdc(), &faults, async |progress| {
        looks(3).await;
        assert_eq!(told(progress), None);
        looks(5).await;
        assert!(told(progress).is_some());
        assert_eq!(progress.snapshot().interruption, None);
    })
    .await;
    outcome.unwrap();
    assert!(faults.count(Call::LogLook) > 5);
}
