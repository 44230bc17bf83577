//! Which names of tables are one table of the target, when two tasks feed them.

use whimbrel_connector::{Feeding, Target};
use whimbrel_core::TableName;
use whimbrel_testkit::{Engine, Server, ServerOptions};

use crate::support::{ENGINES, connector};

async fn two_targets(url: &str) -> [Box<dyn Target>; 2] {
    let connector = connector(url);
    [
        connector.target().await.unwrap(),
        connector.target().await.unwrap(),
    ]
}

#[tokio::test]
async fn names_that_differ_in_case_are_one_table_where_the_server_says_so() {
    for engine in ENGINES {
        // MySQL takes another setting than that of its first start for a mistake.
        let settings: &[&str] = match engine {
            Engine::Mysql97 => &["0"],
            _ => &["0", "1"],
        };
        for &folds in settings {
            let options = ServerOptions {
                settings: vec![("lower-case-table-names".to_owned(), folds.to_owned())],
                ..ServerOptions::default()
            };
            let server = Server::private_with(engine, options).unwrap();
            let database = server.database("fed_case").unwrap();
            let [mut first, mut second] = two_targets(&database.url()).await;
            let ours = first.claim("first").await.unwrap();
            let theirs = second.claim("second").await.unwrap();
            let mixed = [TableName::new("Shop", "Orders")];
            let plain = [TableName::new("shop", "orders")];
            assert_eq!(first.feed(&ours, &mixed, Feeding::Alone).await.unwrap(), []);
            let by_others = second
                .fed_by_others("second", &plain, Feeding::Alone)
                .await
                .unwrap();
            let fed = second.feed(&theirs, &plain, Feeding::Alone).await.unwrap();
            assert_eq!(by_others, fed);
            assert_eq!(fed.len(), usize::from(folds == "1"), "{engine} {fed:?}");
            for fed in fed {
                // By the name that was asked for, so that whoever asks knows it again.
                assert_eq!((fed.table, &*fed.task), (plain[0].clone(), "first"));
            }
            if folds == "0" {
                // Two tables, and each is the other task's own.
                let fed = first
                    .fed_by_others("first", &plain, Feeding::Alone)
                    .await
                    .unwrap();
                assert_eq!(fed.len(), 1, "{engine}");
            }
            assert_eq!(
                first.feed(&ours, &mixed, Feeding::Alone).await.unwrap(),
                [],
                "it is its own"
            );
            first.forget(&ours).await.unwrap();
            assert_eq!(
                second.feed(&theirs, &plain, Feeding::Alone).await.unwrap(),
                []
            );
            second.forget(&theirs).await.unwrap();
        }
    }
}
