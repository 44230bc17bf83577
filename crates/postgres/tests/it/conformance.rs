//! The suite that every connector must pass.

use whimbrel_connector::Connector;
use whimbrel_connector::conformance::{Change, Dialect, End, Harness};
use whimbrel_testkit::Engine;

use crate::support::Pair;

const DIALECT: Dialect = Dialect {
    quote: '"',
    types: ["bigint", "varchar(60)", "text"],
    escapes_backslash: false,
    analyze: "analyze",
    drop_schema_end: "cascade",
};

impl Harness for Pair {
    fn connector(&self, end: End) -> &dyn Connector {
        match end {
            End::Source => &*self.from,
            End::Target => &*self.to,
        }
    }

    fn schema(&self, _: End) -> &'static str {
        "public"
    }

    fn system_schemas(&self) -> &[&str] {
        &["pg_catalog", "information_schema", "awsdms_control"]
    }

    fn change(&self, end: End, changes: &[Change<'_>]) {
        let database = match end {
            End::Source => &self.source,
            End::Target => &self.target,
        };
        database.sql(&DIALECT.script(changes)).unwrap();
    }

    fn make_typed_table(&self) -> Option<&str> {
        let typed = "create type mood as enum ('fine', 'so ''so''');
            create domain moods as mood[] check (cardinality(value) < 3);
            create type place as (name text, at moods);
            create table typed (mood mood, moods moods, place place);
            insert into typed values ('fine', '{fine}', row('here', '{so ''so''}'))";
        self.source.sql(typed).unwrap();
        Some("typed")
    }
}

mod postgres15 {
    use super::{Engine, Pair};

    whimbrel_connector::conformance_tests!(|check| Pair::on(Engine::Postgres15, check));
}

mod postgres16 {
    use super::{Engine, Pair};

    whimbrel_connector::conformance_tests!(|check| Pair::on(Engine::Postgres16, check));
}

mod postgres17 {
    use super::{Engine, Pair};

    whimbrel_connector::conformance_tests!(|check| Pair::on(Engine::Postgres17, check));
}

mod postgres18 {
    use super::{Engine, Pair};

    whimbrel_connector::conformance_tests!(|check| Pair::on(Engine::Postgres18, check));
}
