//! The suite that every connector must pass.

use whimbrel_connector::Connector;
use whimbrel_connector::conformance::{Change, Dialect, End, Harness};
use whimbrel_testkit::{Engine, TestDatabase};

use crate::support::Pair;

const DIALECT: Dialect = Dialect {
    quote: '`',
    types: ["bigint", "varchar(60)", "longtext"],
    escapes_backslash: true,
    analyze: "analyze table",
    drop_schema_end: "",
};

impl Pair {
    fn database(&self, end: End) -> &TestDatabase {
        match end {
            End::Source => &self.source,
            End::Target => &self.target,
        }
    }
}

impl Harness for Pair {
    fn connector(&self, end: End) -> &dyn Connector {
        match end {
            End::Source => &*self.from,
            End::Target => &*self.to,
        }
    }

    fn schema(&self, end: End) -> &str {
        self.database(end).name()
    }

    fn system_schemas(&self) -> &[&str] {
        &[
            "information_schema",
            "mysql",
            "performance_schema",
            "sys",
            "awsdms_control",
        ]
    }

    fn change(&self, end: End, changes: &[Change<'_>]) {
        self.database(end).sql(&DIALECT.script(changes)).unwrap();
    }

    fn make_typed_table(&self) -> Option<&str> {
        None
    }
}

mod mariadb1011 {
    use super::{Engine, Pair};

    whimbrel_connector::conformance_tests!(|check| Pair::on(Engine::Mariadb1011, check));
}

mod mariadb118 {
    use super::{Engine, Pair};

    whimbrel_connector::conformance_tests!(|check| Pair::on(Engine::Mariadb118, check));
}

mod mysql97 {
    use super::{Engine, Pair};

    whimbrel_connector::conformance_tests!(|check| Pair::on(Engine::Mysql97, check));
}
