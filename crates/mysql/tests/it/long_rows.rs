//! Rows beyond 16 MiB, which come in several packets.

use whimbrel_connector::ReadFormat;
use whimbrel_testkit::{Engine, Server, ServerOptions};

use crate::support::{How, Pair, connector};

#[tokio::test]
async fn rows_of_several_packets_arrive_whole() {
    for engine in [Engine::Mariadb1011, Engine::Mysql97] {
        let settings = vec![("max-allowed-packet".to_owned(), "64M".to_owned())];
        let server = Server::private_with(
            engine,
            ServerOptions {
                settings,
                ..ServerOptions::default()
            },
        )
        .unwrap();
        let source = server.database("long_source").unwrap();
        let target = server.database("long_target").unwrap();
        source
            .sql("create table t (id int primary key, b longblob, e char(1));
                  insert into t values (1, 'short', 'a'), (2, repeat(x'5c0a', 9000000), 'b'), (3, '', 'c'),
                    (4, repeat('x', 16777215 - 13), 'd'), (5, repeat('x', 16777215 - 14), 'e'), (6, repeat('x', 16777215 - 12), 'f'), (7, repeat('x', 33554430 - 13), 'g'), (8, 'end', 'h'),
                    (9, repeat('x', 33554430 - 17), 'i')")
            .unwrap();
        let (from, to) = (connector(&source.url()), connector(&target.url()));
        let pair = Pair {
            source,
            target,
            from,
            to,
            task: "long rows".to_owned(),
        };
        for format in [ReadFormat::Decoded, ReadFormat::InParts] {
            let how = How {
                format,
                ..How::PLAIN
            };
            let loaded = pair.load(how).await.unwrap();
            assert_eq!(loaded[0].row_count, 9);
            pair.same("select id, length(b), sha2(b, 256), e from t order by id");
        }
    }
}
