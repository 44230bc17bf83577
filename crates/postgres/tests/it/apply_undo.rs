//! What is taken back of an open transaction, and what is asked of it before its commit.

use whimbrel_connector::Error;

use crate::changes::{Do, Rig, int};
use crate::support::ENGINES;

const TABLE: &str = "create table t (id int primary key, next int)";

fn row(id: i64, next: i64) -> Vec<whimbrel_core::Value<'static>> {
    vec![int(id), int(next)]
}

const ROWS: &str = "select string_agg(concat(id, ':', next), ' ' order by id) from t";

#[tokio::test]
async fn net_changes_are_taken_back_and_the_transaction_goes_on() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, TABLE).await;
        rig.begin().await;
        rig.net("t", vec![], vec![], vec![row(1, 0), row(2, 0)])
            .await
            .unwrap();
        let updates = vec![row(1, 7), row(9, 7)];
        let applied = rig
            .net("t", vec![row(2, 0)], updates, vec![])
            .await
            .unwrap();
        assert_eq!((applied.deleted, applied.updated), (1, 1));
        rig.applier.undo_net().await.unwrap();
        // Marks lie beside what can be taken back.
        rig.net("t", vec![], vec![], vec![row(3, 0)]).await.unwrap();
        rig.applier.mark().await.unwrap();
        rig.net("t", vec![], vec![], vec![row(4, 0)]).await.unwrap();
        rig.applier.back_to_mark().await.unwrap();
        let set = vec![("t", Do::Set(row(1, 5)))];
        assert_eq!(rig.single(set).await.unwrap(), [1]);
        assert!(
            rig.applier.undo_net().await.is_err(),
            "it is not the last call"
        );
        rig.commit().await;
        assert_eq!(rig.shown(ROWS), "1:5 2:0 3:0");
    }
}

#[tokio::test]
async fn what_waits_for_the_commit_is_told_before_and_waits_again() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, TABLE).await;
        rig.pair
            .target
            .sql(
                "alter table t add constraint refers foreign key (next) references t deferrable initially deferred;
                 do $$ declare name text; begin
                   for name in select tgname from pg_trigger where tgrelid = 't'::regclass loop
                     execute format('alter table t enable always trigger %I', name);
                   end loop; end $$",
            )
            .unwrap();
        rig.begin().await;
        rig.applier.check_deferred().await.unwrap();
        rig.single(vec![("t", Do::Insert(row(1, 2)))])
            .await
            .unwrap();
        match rig.applier.check_deferred().await {
            Err(Error::Row(refusal)) => assert!(refusal.reason.contains("refers"), "{refusal}"),
            other => panic!("{other:?}"),
        }
        rig.single(vec![("t", Do::Insert(row(2, 1)))])
            .await
            .unwrap();
        rig.applier.check_deferred().await.unwrap();
        rig.commit().await;
        assert_eq!(rig.shown(ROWS), "1:2 2:1");
        rig.begin().await;
        rig.single(vec![("t", Do::Insert(row(3, 9)))])
            .await
            .unwrap();
        let position = whimbrel_core::Position::new("1/2");
        let committed = rig
            .applier
            .commit(&whimbrel_connector::Checkpoint::at(position))
            .await;
        assert!(matches!(committed, Err(Error::Row(_))), "{committed:?}");
        assert_eq!(rig.shown(ROWS), "1:2 2:1");
    }
}
