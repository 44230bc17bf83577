//! What a table of the log is: its columns as they were at that point, in the words of the catalog.
//!
//! A table that still looks as it was described to the stream is handed on in that description. Otherwise the catalog is asked
//! again; and when it has moved on further than the log, the table is put together from the log itself, which names the columns
//! and their types and tells nothing about defaults, collations and constraints.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use whimbrel_connector::{Error, LogEvent, TableId};
use whimbrel_core::{Column, ColumnType, Generation, Table, TableName};

use super::ddl::DdlMessage;
use super::decoder::{Known, News};
use super::identity::Identities;
use super::message::{RelationColumn, RelationMessage};
use crate::catalog::{self, DescribedType};
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Connection, WireError};

/// The replica identity that is the primary key.
const BY_DEFAULT: u8 = b'd';
/// The replica identity that is the whole row.
const BY_ALL: u8 = b'f';

/// The columns of a key: by their numbers in the catalog, or their names where there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Vec<(Option<u32>, String)>);

impl Key {
    pub(super) fn of(table: &Table) -> Self {
        let columns = table.primary_key.iter();
        let columns = columns.filter_map(|&place| table.columns.get(place));
        Self(
            columns
                .map(|column| match column.id {
                    Some(id) => (Some(id), String::new()),
                    None => (None, column.name.clone()),
                })
                .collect(),
        )
    }

    /// Where they are in a table, if it has all of them.
    fn within(&self, table: &Table) -> Option<Vec<usize>> {
        let place = |(id, name): &(Option<u32>, String)| {
            table.columns.iter().position(|column| match id {
                Some(_) => column.id == *id,
                None => column.name == *name,
            })
        };
        self.0.iter().map(place).collect()
    }
}

/// What is new about a table whose primary key is known: a key that is not it tells rows apart and nothing else.
fn news(told: &Table, table: &Table, key: &Key, identity: u8) -> News {
    if is_same(told, table) {
        return News::Nothing;
    }
    let is_same_but_for_its_key = told.name == table.name && told.columns == table.columns;
    if is_same_but_for_its_key && (identity != BY_DEFAULT || Key::of(table) == *key) {
        return News::Identity;
    }
    News::Shape
}

/// A table of the stream, as it was last told; `None`: it is gone.
type Told = Option<Arc<Table>>;

/// Finds out what the tables of a stream are.
pub(super) struct Describer {
    options: Arc<Options>,
    /// For questions to the catalog; away while one is being asked.
    connection: Option<Connection>,
    /// By number of the table in the stream.
    tables: Vec<Told>,
    /// The primary key of each, which need not be what tells its rows apart.
    keys: Vec<Key>,
    is_binary: bool,
    /// Tells the next streams to ask for text.
    wants_text: Arc<AtomicBool>,
}

impl Describer {
    pub(super) fn new(
        options: Arc<Options>,
        connection: Connection,
        tables: Vec<Arc<Table>>,
        keys: Vec<Key>,
        is_binary: bool,
        wants_text: Arc<AtomicBool>,
    ) -> Self {
        Self {
            options,
            connection: Some(connection),
            tables: tables.into_iter().map(Some).collect(),
            keys,
            is_binary,
            wants_text,
        }
    }

    /// Says what a table of the log is. Dropping the call changes nothing.
    pub(super) async fn describe(&mut self, relation: &RelationMessage) -> Result<Known, Error> {
        let name = TableName::new(&relation.schema, &relation.name);
        let Some((place, told)) = self.find(relation.id, &name) else {
            tracing::info!(table = %name, "the log has changes of a table that was not asked for");
            return Ok(Known::Ignored);
        };
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.options).await?,
        };
        let types = types_of(&mut connection, relation).await?;
        self.check_forms(relation, &types)?;
        let told = &*told;
        if relation.identity == BY_ALL {
            check_key(&mut connection, told, &name).await?;
        }
        let key = &self.keys[place];
        let table = if matches(told, &name, relation, &types) {
            with_key(told, relation, Some(key))
        } else {
            let now = table_now(&mut connection, &name).await?;
            // What has the name by now may be another table that looks the same.
            let is_it =
                |now: &Table| now.id == Some(relation.id) && matches(now, &name, relation, &types);
            match now.filter(is_it) {
                Some(now) => with_key(&now, relation, None),
                None => with_key(&assembled(told, name, relation, types), relation, Some(key)),
            }
        };
        let news = news(told, &table, &self.keys[place], relation.identity);
        if news == News::Shape && relation.identity == BY_DEFAULT {
            self.keys[place] = Key::of(&table);
        }
        let table = Arc::new(table);
        self.tables[place] = Some(Arc::clone(&table));
        self.connection = Some(connection);
        Ok(Known::Captured {
            id: number(place)?,
            table,
            is_key: relation
                .columns
                .iter()
                .map(|column| column.is_key)
                .collect(),
            news,
        })
    }

    /// A table that was renamed keeps its number; one made anew under an old name is another.
    fn find(&self, id: u32, name: &TableName) -> Option<(usize, Arc<Table>)> {
        let there = |is_it: &dyn Fn(&Table) -> bool| {
            let mut tables = self.tables.iter().enumerate();
            tables.find_map(|(place, told)| {
                let table = told.as_ref().filter(|table| is_it(table))?;
                Some((place, Arc::clone(table)))
            })
        };
        there(&|table| table.id == Some(id))
            .or_else(|| there(&|table| table.id.is_none() && table.name == *name))
    }

    /// Says what a statement made of the tables of the stream.
    pub(super) fn define(&mut self, message: DdlMessage) -> Result<Vec<LogEvent>, Error> {
        let mut events = Vec::new();
        for (id, name) in message.dropped {
            if let Some((place, _)) = self.find(id, &name) {
                self.tables[place] = None;
                let table = number(place)?;
                events.push(LogEvent::Dropped { table });
            }
        }
        for id in message.rewritten {
            let told = self
                .tables
                .iter()
                .position(|told| told.as_ref().is_some_and(|table| table.id == Some(id)));
            if let Some(place) = told {
                events.push(LogEvent::Rewritten {
                    table: number(place)?,
                    why: "a statement gave its rows new values, or attached, detached or dropped partitions with rows, which the log does not hold"
                        .to_owned(),
                });
            }
        }
        for table in message.tables {
            let id = table.id.unwrap_or_default();
            let Some((place, told)) = self.find(id, &table.name) else {
                events.push(LogEvent::Created { table: table.name });
                continue;
            };
            let key = Key::of(&table);
            let identity = Key::of(&told);
            let mut table = Table {
                row_estimate: told.row_estimate,
                byte_estimate: told.byte_estimate,
                ..table
            };
            // What tells its rows apart may be another index, and stays that until the next row says otherwise.
            if std::mem::replace(&mut self.keys[place], key.clone()) == key
                && let Some(identity) = identity.within(&table)
            {
                table.primary_key = identity;
            }
            let table = Arc::new(table);
            if is_same(&told, &table) {
                continue;
            }
            self.tables[place] = Some(Arc::clone(&table));
            let id = number(place)?;
            events.push(LogEvent::Table { id, table });
        }
        Ok(events)
    }

    /// Refuses what the stream, as it was opened, brings in a form that is not understood.
    fn check_forms(
        &self,
        relation: &RelationMessage,
        types: &[DescribedType],
    ) -> Result<(), Error> {
        let mut columns = relation.columns.iter().zip(types);
        let is_native = |ty: &DescribedType| matches!(ty.ty, ColumnType::Native { .. });
        match columns.find(|(_, ty)| self.is_binary && is_native(ty)) {
            None => Ok(()),
            Some((column, ty)) => {
                self.wants_text.store(true, Ordering::Relaxed);
                Err(Error::Transient(format!(
                    "table {}.{} now has column {} of type {}, which is read as text: the stream must be opened again",
                    relation.schema, relation.name, column.name, ty.native
                )))
            }
        }
    }
}

fn number(place: usize) -> Result<TableId, Error> {
    let number = u32::try_from(place).map_err(|_| Error::Fatal("too many tables".to_owned()))?;
    Ok(TableId(number))
}

async fn types_of(
    connection: &mut Connection,
    relation: &RelationMessage,
) -> Result<Vec<DescribedType>, Error> {
    let types: Vec<(u32, i32)> = relation
        .columns
        .iter()
        .map(|column| (column.type_oid, column.type_modifier))
        .collect();
    catalog::describe_types(connection, &types)
        .await
        .map_err(failed)
}

async fn table_now(connection: &mut Connection, name: &TableName) -> Result<Option<Table>, Error> {
    let found = catalog::describe_tables(connection, &|table| table == name)
        .await
        .map_err(failed)?;
    Ok(found.into_iter().next().map(|(table, _)| table))
}

fn failed(error: WireError) -> Error {
    general(error, "look up the tables of the source's log")
}

/// Refuses rows that are told by all their columns and followed by a primary key that has become DEFERRABLE.
async fn check_key(
    connection: &mut Connection,
    told: &Table,
    name: &TableName,
) -> Result<(), Error> {
    let now = Table {
        name: name.clone(),
        ..told.clone()
    };
    let identities = Identities::read(connection, &[now]).await?;
    match identities.deferrable(name) {
        Some(fault) => Err(Error::Table(Box::new(fault))),
        None => Ok(()),
    }
}

/// Whether the log's columns are those of a table.
fn matches(
    table: &Table,
    name: &TableName,
    relation: &RelationMessage,
    types: &[DescribedType],
) -> bool {
    let is_same = |column: &Column, sent: &RelationColumn, ty: &DescribedType| {
        let rest = column.native.strip_prefix(ty.native.as_str());
        column.name == sent.name
            && is_same_type(&column.ty, &ty.ty)
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" COLLATE "))
    };
    table.name == *name
        && table.loaded_columns().count() == relation.columns.len()
        && table
            .loaded_columns()
            .zip(&relation.columns)
            .zip(types)
            .all(|((column, sent), ty)| is_same(column, sent, ty))
}

/// Labels that an enum has got since change nothing about its values.
fn is_same_type(one: &ColumnType, other: &ColumnType) -> bool {
    matches!(
        (one, other),
        (ColumnType::Enum { .. }, ColumnType::Enum { .. })
    ) || one == other
}

/// Whether a table would be told anew for nothing: estimates do not count.
fn is_same(known: &Table, table: &Table) -> bool {
    known.name == table.name
        && known.columns == table.columns
        && known.primary_key == table.primary_key
}

/// The table with the key that its changes can be told by. Where rows are told by all their columns that is its primary key, which is
/// `primary` unless the table has it already: the index that told them apart before may be gone, and its columns not be unique any more.
fn with_key(table: &Table, relation: &RelationMessage, primary: Option<&Key>) -> Table {
    let keys = relation.columns.iter().filter(|column| column.is_key);
    let names: Vec<&str> = keys.map(|column| column.name.as_str()).collect();
    let mut table = table.clone();
    if relation.identity != BY_ALL {
        table.primary_key = key_by(&table, &names);
    } else if let Some(primary) = primary {
        table.primary_key = primary.within(&table).unwrap_or_default();
    }
    table
}

/// The indexes of the columns that tell rows apart in the log: the primary key as it is, if its columns are these.
///
/// Where another unique index is the replica identity, a change of the primary key alone would not be seen in the log, and
/// the old row of a change not be found by it.
pub(super) fn key_by(table: &Table, names: &[&str]) -> Vec<usize> {
    let is_named = |place: &usize| names.contains(&table.columns[*place].name.as_str());
    if table.primary_key.len() == names.len() && table.primary_key.iter().all(is_named) {
        return table.primary_key.clone();
    }
    (0..table.columns.len()).filter(is_named).collect()
}

/// A table made of what the log says; what a column was before, it still is.
fn assembled(
    before: &Table,
    name: TableName,
    relation: &RelationMessage,
    types: Vec<DescribedType>,
) -> Table {
    let known: HashMap<&str, &Column> = before
        .loaded_columns()
        .map(|column| (column.name.as_str(), column))
        .collect();
    let columns = relation.columns.iter().zip(types).map(|(sent, ty)| {
        let before = known
            .get(sent.name.as_str())
            .filter(|before| before.ty == ty.ty && before.native.starts_with(&ty.native));
        match before {
            Some(&before) => before.clone(),
            None => Column {
                name: sent.name.clone(),
                ty: ty.ty,
                native: ty.native,
                nullable: !sent.is_key || relation.identity == BY_ALL,
                generation: Generation::None,
                id: None,
                default: None,
            },
        }
    });
    let columns: Vec<Column> = columns.collect();
    let key = before.primary_key.iter();
    let key_names = key.filter_map(|&place| before.columns.get(place));
    let primary_key = key_names
        .map(|key| columns.iter().position(|column| column.name == key.name))
        .collect::<Option<Vec<usize>>>();
    Table {
        engine: before.engine,
        name,
        columns,
        primary_key: primary_key.unwrap_or_default(),
        id: Some(relation.id),
        key_prefixes: Vec::new(),
        row_estimate: before.row_estimate,
        byte_estimate: before.byte_estimate,
        outside_snapshot: None,
        obstacle: None,
        notes: before.notes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::Engine;

    use super::*;

    fn column(name: &str, native: &str) -> Column {
        Column {
            name: name.to_owned(),
            ty: text(),
            native: native.to_owned(),
            nullable: true,
            generation: Generation::None,
            id: None,
            default: None,
        }
    }

    fn text() -> ColumnType {
        ColumnType::Text { bytes_max: None }
    }

    fn table(columns: &[&str], primary_key: &[usize]) -> Table {
        let mut columns: Vec<Column> = columns.iter().map(|name| column(name, "text")).collect();
        columns.push(Column {
            generation: Generation::Computed,
            id: None,
            default: None,
            ..column("computed", "text GENERATED ALWAYS AS (…) STORED")
        });
        Table {
            engine: Engine::Postgres,
            name: TableName::new("s", "t"),
            columns,
            primary_key: primary_key.to_vec(),
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        }
    }

    fn relation(columns: &[(&str, bool)]) -> (RelationMessage, Vec<DescribedType>) {
        let sent = columns.iter().map(|(name, is_key)| RelationColumn {
            is_key: *is_key,
            name: (*name).to_owned(),
            type_oid: 25,
            type_modifier: -1,
        });
        let message = RelationMessage {
            id: 1,
            schema: "s".to_owned(),
            name: "t".to_owned(),
            identity: b'd',
            columns: sent.collect(),
        };
        let ty = DescribedType {
            ty: text(),
            native: "text".to_owned(),
        };
        (message, vec![ty; columns.len()])
    }

    #[test]
    fn a_table_matches_by_its_loaded_columns_whatever_their_collation() {
        let name = TableName::new("s", "t");
        let mut known = table(&["a", "b"], &[0]);
        known.columns[1].native = "text COLLATE pg_catalog.\"C\"".to_owned();
        let (sent, types) = relation(&[("a", true), ("b", false)]);
        assert!(matches(&known, &name, &sent, &types));
        let (sent, types) = relation(&[("a", true)]);
        assert!(!matches(&known, &name, &sent, &types));
        known.columns[1].native = "textual".to_owned();
        let (sent, types) = relation(&[("a", true), ("b", false)]);
        assert!(!matches(&known, &name, &sent, &types));
    }

    #[test]
    fn the_key_is_that_of_the_log() {
        let known = table(&["a", "b", "c"], &[1, 0]);
        let key =
            |columns: &[(&str, bool)]| with_key(&known, &relation(columns).0, None).primary_key;
        assert_eq!(key(&[("a", true), ("b", true), ("c", false)]), [1, 0]);
        assert_eq!(key(&[("a", false), ("b", false), ("c", true)]), [2]);
        let mut full = relation(&[("a", true), ("b", true), ("c", true)]).0;
        full.identity = b'f';
        let primary = Key::of(&known);
        assert_eq!(with_key(&known, &full, None).primary_key, [1, 0]);
        let mut by_index = known.clone();
        by_index.primary_key = vec![2];
        let by_all = with_key(&by_index, &full, Some(&primary));
        assert_eq!(by_all.primary_key, [1, 0]);
    }

    #[test]
    fn a_table_that_nobody_describes_is_put_together_from_the_log() {
        let before = table(&["gone", "id", "kept"], &[1]);
        let (sent, types) = relation(&[("id", true), ("kept", false), ("new", false)]);
        let made = assembled(&before, TableName::new("s", "t"), &sent, types);
        let names: Vec<&str> = made
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(names, ["id", "kept", "new"]);
        assert_eq!(made.primary_key, [0]);
    }
}
