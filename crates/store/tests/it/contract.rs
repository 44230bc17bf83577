//! What every implementation of `Store` promises.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use whimbrel_store::{MemoryStore, Resource, SqliteStore, Store, StoreError};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bird {
    id: String,
    name: String,
    flock: String,
    eggs: i64,
}

impl Resource for Bird {
    const KIND: &'static str = "bird";

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn parent(&self) -> &str {
        &self.flock
    }
}

fn bird(id: &str) -> Bird {
    Bird {
        id: id.to_owned(),
        name: format!("name of {id}"),
        flock: String::new(),
        eggs: 0,
    }
}

/// Runs the check over each implementation.
async fn each<F: Future<Output = ()>>(check: impl Fn(Arc<dyn Store>) -> F) {
    check(Arc::new(MemoryStore::default())).await;
    let temp = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&temp.path().join("s")).await.unwrap());
    check(Arc::clone(&store)).await;
    store.close().await;
}

#[tokio::test]
async fn what_was_committed_is_found_by_id_and_name() {
    each(|store| async move {
        let stored = store.create(&bird("a")).await.unwrap();
        assert_eq!(stored.version, 1);
        assert_eq!(store.find::<Bird>("a").await.unwrap(), Some(stored.clone()));
        assert_eq!(
            store.find_by_name::<Bird>("name of a").await.unwrap(),
            Some(stored)
        );
        assert_eq!(store.find::<Bird>("b").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing() {
    each(|store| async move {
        let mut transaction = store.begin().await.unwrap();
        transaction.create(&bird("a")).await.unwrap();
        drop(transaction);
        assert_eq!(store.list::<Bird>().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_view_is_one_state_and_waits_for_nobody() {
    each(|store| async move {
        let mut first = store.begin().await.unwrap();
        first.create(&bird("a")).await.unwrap();
        // Beside a transaction that is open.
        let mut view = store.view().await.unwrap();
        assert_eq!(view.list::<Bird>().await.unwrap(), []);
        first.commit().await.unwrap();
        assert_eq!(view.list::<Bird>().await.unwrap(), []);
        assert!(matches!(view.commit().await, Err(StoreError::View)));
        let mut later = store.view().await.unwrap();
        assert_eq!(later.list::<Bird>().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_writes_all_resources_at_once() {
    each(|store| async move {
        let mut transaction = store.begin().await.unwrap();
        transaction.create(&bird("a")).await.unwrap();
        transaction.create(&bird("b")).await.unwrap();
        assert!(store.list::<Bird>().await.unwrap().is_empty());
        transaction.commit().await.unwrap();
        assert_eq!(store.list::<Bird>().await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn ids_and_names_are_unique_and_the_transaction_goes_on() {
    each(|store| async move {
        store.create(&bird("a")).await.unwrap();
        let mut transaction = store.begin().await.unwrap();
        let same_id = Bird {
            name: "other".into(),
            ..bird("a")
        };
        let same_name = Bird {
            id: "other".into(),
            ..bird("a")
        };
        for clash in [same_id, same_name] {
            let error = transaction.create(&clash).await.unwrap_err();
            assert!(
                matches!(error, StoreError::AlreadyExists { kind: "bird", .. }),
                "{error}"
            );
        }
        let mut b = transaction.create(&bird("b")).await.unwrap();
        b.name = "name of a".into();
        let error = transaction.replace(&b).await.unwrap_err();
        assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error}");
        b.name = "renamed".into();
        transaction.replace(&b).await.unwrap();
        transaction.commit().await.unwrap();
        assert!(
            store
                .find_by_name::<Bird>("renamed")
                .await
                .unwrap()
                .is_some()
        );
    })
    .await;
}

#[tokio::test]
async fn an_update_of_an_old_version_is_refused() {
    each(|store| async move {
        let old = store.create(&bird("a")).await.unwrap();
        store
            .modify::<Bird>("a", |bird| {
                bird.eggs = 3;
                true
            })
            .await
            .unwrap();
        let mut transaction = store.begin().await.unwrap();
        let error = transaction.replace(&old).await.unwrap_err();
        assert!(
            matches!(error, StoreError::VersionConflict { .. }),
            "{error}"
        );
        drop(transaction);
        assert_eq!(store.find::<Bird>("a").await.unwrap().unwrap().eggs, 3);
        assert!(
            store
                .modify::<Bird>("gone", |_| true)
                .await
                .unwrap()
                .is_none()
        );
    })
    .await;
}

#[tokio::test]
async fn concurrent_changes_all_count() {
    each(|store| async move {
        store.create(&bird("a")).await.unwrap();
        let changes = (0..20).map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .modify::<Bird>("a", |bird| {
                        bird.eggs += 1;
                        true
                    })
                    .await
                    .unwrap();
            })
        });
        for change in changes.collect::<Vec<_>>() {
            change.await.unwrap();
        }
        assert_eq!(store.find::<Bird>("a").await.unwrap().unwrap().eggs, 20);
    })
    .await;
}

#[tokio::test]
async fn pages_stay_right_while_items_come_and_go() {
    each(|store| async move {
        for id in ["a", "b", "c", "d"] {
            store.create(&bird(id)).await.unwrap();
        }
        let first = store.page("bird", None, 0, 2).await.unwrap();
        assert_eq!(
            first.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
        // The last item seen goes, and another comes under the same id: it is new, so it stands at the end.
        store.remove::<Bird>("b").await.unwrap();
        store.remove::<Bird>("c").await.unwrap();
        store.create(&bird("b")).await.unwrap();
        let second = store.page("bird", None, first[1].seq, 10).await.unwrap();
        assert_eq!(
            second.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(),
            ["d", "b"]
        );
    })
    .await;
}

#[tokio::test]
async fn children_are_listed_and_deleted_together() {
    each(|store| async move {
        for (id, flock) in [("a", "x"), ("b", "y"), ("c", "x")] {
            store
                .create(&Bird {
                    flock: flock.into(),
                    ..bird(id)
                })
                .await
                .unwrap();
        }
        assert_eq!(store.list_children::<Bird>("x").await.unwrap().len(), 2);
        let mut transaction = store.begin().await.unwrap();
        assert_eq!(transaction.delete_children("bird", "x").await.unwrap(), 2);
        transaction.commit().await.unwrap();
        assert_eq!(store.list::<Bird>().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_commit_wakes_those_who_watch() {
    each(|store| async move {
        let mut changes = store.watch();
        changes.mark_unchanged();
        store.create(&bird("a")).await.unwrap();
        changes.changed().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_commit_counts_for_the_kinds_that_it_wrote() {
    each(|store| async move {
        let changes = store.watch();
        let count = |kind: &str| changes.borrow().of(&[kind]);
        store.create(&bird("a")).await.unwrap();
        store.create(&bird("b")).await.unwrap();
        assert_eq!((count("bird"), count("nest")), (2, 0));
        let mut transaction = store.begin().await.unwrap();
        transaction.delete("bird", "a").await.unwrap();
        transaction.delete("bird", "b").await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(changes.borrow().of(&["bird", "nest"]), 3);
        let mut transaction = store.begin().await.unwrap();
        transaction.create(&bird("c")).await.unwrap();
        drop(transaction);
        assert_eq!(count("bird"), 3);
    })
    .await;
}
