//! The database in memory against the suite that every connector must pass.

use whimbrel_connector::conformance::{Change, End, Fixture, Harness, Kind};
use whimbrel_connector::memory::{Faults, MemoryConnector, MemoryDatabase, MemoryTable};
use whimbrel_connector::{Connector, conformance_tests};
use whimbrel_core::{Column, ColumnType, Engine, Generation, Table, TableName};

const SCHEMA: &str = "memory";

/// Two databases in memory.
struct Memory {
    databases: [MemoryDatabase; 2],
    connectors: [MemoryConnector; 2],
}

impl Memory {
    fn new() -> Self {
        let databases = [MemoryDatabase::new(), MemoryDatabase::new()];
        let connectors = databases
            .clone()
            .map(|database| MemoryConnector::new(database, Faults::none()));
        Self {
            databases,
            connectors,
        }
    }
}

fn place(end: End) -> usize {
    usize::from(end == End::Target)
}

fn described(fixture: &Fixture) -> Table {
    let columns = fixture.columns.iter().map(|column| Column {
        name: column.name.to_owned(),
        ty: match column.kind {
            Kind::Int => ColumnType::Int {
                bits: 64,
                unsigned: false,
            },
            Kind::Name => ColumnType::Varchar { length: Some(60) },
            Kind::Text => ColumnType::Text { bytes_max: None },
        },
        native: "any".to_owned(),
        nullable: column.nullable,
        generation: Generation::None,
        id: None,
        default: None,
    });
    let columns: Vec<Column> = columns.collect();
    let key = fixture.key.iter().filter_map(|key| {
        let mut names = columns.iter().map(|column| &column.name);
        names.position(|name| name == key)
    });
    Table {
        engine: Engine::Postgres,
        name: TableName::new(SCHEMA, fixture.name),
        primary_key: key.collect(),
        columns,
        id: None,
        key_prefixes: Vec::new(),
        row_estimate: None,
        byte_estimate: None,
        outside_snapshot: None,
        obstacle: None,
        notes: Vec::new(),
    }
}

impl Harness for Memory {
    fn connector(&self, end: End) -> &dyn Connector {
        &self.connectors[place(end)]
    }

    fn schema(&self, _: End) -> &str {
        SCHEMA
    }

    fn system_schemas(&self) -> &[&str] {
        &[]
    }

    fn change(&self, end: End, changes: &[Change<'_>]) {
        let database = &self.databases[place(end)];
        let with = |name: &str, change: &dyn Fn(&mut MemoryTable)| {
            let mut table = database
                .get(&TableName::new(SCHEMA, name))
                .expect("the table was made");
            change(&mut table);
            database.put(table);
        };
        for change in changes {
            match *change {
                Change::Create(fixture) => database.put(MemoryTable {
                    table: described(fixture),
                    rows: Vec::new(),
                    has_key: !fixture.key.is_empty(),
                }),
                Change::Insert(name, rows) => {
                    with(name, &|table| table.rows.extend_from_slice(rows));
                }
                Change::Delete(name) => with(name, &|table| table.rows.clear()),
                Change::Drop(name) => database.drop_table(&TableName::new(SCHEMA, name)),
                Change::View(..) => {}
                Change::DropSchema(schema) => database.drop_schema(schema),
            }
        }
    }

    fn make_typed_table(&self) -> Option<&str> {
        None
    }
}

conformance_tests!(|_| Memory::new());
