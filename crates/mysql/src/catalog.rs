//! What `information_schema` tells of databases, tables and columns.

mod computed;
mod keys;
mod made;
mod objects;
mod partitions;
mod rules;
mod sight;
mod storage;
mod unlogged;

pub(crate) use self::keys::{RangeKey, primary_key, range_key};
pub(crate) use self::made::made_at;
pub(crate) use self::objects::{ColumnText, is_same_text, schema_objects, shown_text};
pub(crate) use self::partitions::partitions;
pub(crate) use self::unlogged::{UnloggedKey, unlogged_keys};

use std::collections::{BTreeSet, HashMap, HashSet};

use whimbrel_core::{Column, Engine, Generation, Table, TableName};

use crate::quote;
use crate::types::CatalogType;
use crate::wire::{Connection, TextRow, WireError};
use sight::Sight;

/// The database that holds our own records at a target.
pub(crate) const CONTROL_DATABASE: &str = "awsdms_control";
/// Databases of the servers themselves, and ours.
const SYSTEM_DATABASES: [&str; 5] = [
    "information_schema",
    "mysql",
    "performance_schema",
    "sys",
    CONTROL_DATABASE,
];

/// The type of views, in SQL.
const VIEWS: &str = "'VIEW'";

/// Rows written per page of an estimate: a table's data length is rounded to pages, so a smaller one says nothing.
const SMALLEST_DATA_BYTES: u64 = 16 * 1024;

fn not_system(column: &str) -> String {
    let names: Vec<String> = SYSTEM_DATABASES
        .iter()
        .map(|name| quote::literal(name))
        .collect();
    format!("lower({column}) NOT IN ({})", names.join(", "))
}

/// The names of the user databases, sorted.
pub(crate) async fn databases(connection: &mut Connection) -> Result<Vec<String>, WireError> {
    let sql = format!(
        "SELECT schema_name FROM information_schema.schemata WHERE {}",
        not_system("schema_name")
    );
    let rows = connection.rows(&sql).await?;
    let mut names: Vec<String> = rows.iter().map(|row| row.text(0).to_owned()).collect();
    names.sort();
    Ok(names)
}

/// A column as the catalog has it.
#[derive(Clone, Debug)]
pub(crate) struct CatalogColumn {
    pub(crate) name: String,
    pub(crate) ty: CatalogType,
    pub(crate) nullable: bool,
    pub(crate) generation: Generation,
    /// In SQL; `None`: NULL.
    pub(crate) default: Option<String>,
    /// `SELECT *` leaves it out.
    pub(crate) is_invisible: bool,
}

impl CatalogColumn {
    /// What a user should know of a column that tables made by a load do not have alike.
    fn note(&self) -> Option<String> {
        self.is_invisible.then(|| {
            format!(
                "column {}: it is INVISIBLE at the source, which a table made by a load does not keep",
                self.name
            )
        })
    }

    fn column(&self) -> Column {
        Column {
            name: self.name.clone(),
            ty: self.ty.column_type(),
            native: self.ty.native(),
            nullable: self.nullable,
            generation: self.generation,
            id: None,
            default: self.default.clone(),
        }
    }
}

/// Which tables a query of the catalog is about.
#[derive(Clone, Copy, Debug)]
enum Scope<'a> {
    /// All that are not the server's own.
    User,
    /// Those of some databases.
    Databases(&'a BTreeSet<String>),
    /// One.
    Table(&'a TableName),
}

/// More names than this make a statement longer than reading all is.
const NAMED_DATABASES: usize = 1000;

impl Scope<'_> {
    /// A condition on the columns that hold database and table.
    fn condition(self, database: &str, table: &str) -> String {
        match self {
            Self::Databases(names) if names.len() <= NAMED_DATABASES => {
                let names: Vec<String> = names.iter().map(|name| quote::literal(name)).collect();
                format!("{database} IN ({})", names.join(", "))
            }
            Self::User | Self::Databases(_) => not_system(database),
            Self::Table(name) => format!(
                "{database} = {} AND {table} = {}",
                quote::literal(&name.schema),
                quote::literal(&name.name)
            ),
        }
    }
}

/// Describes the user's tables that are selected, sorted by name. Views and sequences are left out.
pub(crate) async fn tables(
    connection: &mut Connection,
    is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
) -> Result<Vec<Table>, WireError> {
    described(connection, "'BASE TABLE', 'SYSTEM VERSIONED'", is_selected).await
}

/// Describes the user's views that are selected like tables, sorted by name. One that names what is not there has no columns, and is
/// described without.
pub(crate) async fn views(
    connection: &mut Connection,
    is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
) -> Result<Vec<Table>, WireError> {
    described(connection, VIEWS, is_selected).await
}

async fn described(
    connection: &mut Connection,
    types: &str,
    is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
) -> Result<Vec<Table>, WireError> {
    let names = selected_names(connection, types, is_selected).await?;
    let databases = names.iter().map(|name| name.schema.clone()).collect();
    let scope = match names.as_slice() {
        [] => return Ok(Vec::new()),
        [only] => Scope::Table(only),
        _ => Scope::Databases(&databases),
    };
    let mut tables = bare_tables(connection, types, scope).await?;
    tables.retain(|table| names.binary_search(&table.name).is_ok());
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    look_at(connection, &mut tables, types == VIEWS).await?;
    let mut columns = columns_of(connection, scope).await?;
    let mut keys = keys::primary_keys(connection, scope).await?;
    for table in &mut tables {
        let found = columns.remove(&table.name).unwrap_or_default();
        table.columns = found.iter().map(CatalogColumn::column).collect();
        table
            .notes
            .extend(found.iter().filter_map(CatalogColumn::note));
        keys::set(table, &keys.remove(&table.name).unwrap_or_default());
        complete_computed(connection, table).await?;
        let unsplittable = keys::note_unsplittable(connection, table).await?;
        table.notes.extend(unsplittable);
    }
    // A table dropped since the first query has no columns any more. Nor has a view that cannot be read, which is told when it is.
    let are_views = types == VIEWS;
    tables.retain(|table| are_views || !table.columns.is_empty());
    Ok(tables)
}

/// The names of the user's tables of some types that are selected, sorted. The server opens no table to tell them.
async fn selected_names(
    connection: &mut Connection,
    types: &str,
    is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
) -> Result<Vec<TableName>, WireError> {
    let sql = format!(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type IN ({types}) AND {}",
        not_system("table_schema")
    );
    let rows = connection.rows(&sql).await?;
    let names = rows.iter().map(name_of);
    let mut names: Vec<TableName> = names.filter(is_selected).collect();
    names.sort();
    Ok(names)
}

/// The tables without their columns. For how many rows and bytes they have the server opens each.
async fn bare_tables(
    connection: &mut Connection,
    types: &str,
    scope: Scope<'_>,
) -> Result<Vec<Table>, WireError> {
    let sql = format!(
        "SELECT table_schema, table_name, table_rows, data_length, engine FROM information_schema.tables \
         WHERE table_type IN ({types}) AND {}",
        scope.condition("table_schema", "table_name")
    );
    let rows = connection.rows(&sql).await?;
    let engine = connection.engine();
    Ok(rows.iter().map(|row| bare_table(engine, row)).collect())
}

/// Tells tables of which the user does not see all columns.
async fn look_at(
    connection: &mut Connection,
    tables: &mut [Table],
    are_views: bool,
) -> Result<(), WireError> {
    let sight = Sight::of_user(connection).await?;
    if !sight.asks() {
        return Ok(());
    }
    let usual = connection.row("SELECT @@lock_wait_timeout").await?;
    connection.execute(LOCK_WAIT).await?;
    for table in tables {
        table.obstacle = sight.obstacle(connection, &table.name, are_views).await?;
    }
    let usual: Option<u64> = usual.and_then(|row| row.number(0));
    let usual = usual.map_or("DEFAULT".to_owned(), |seconds| seconds.to_string());
    connection
        .execute(&format!("SET SESSION lock_wait_timeout = {usual}"))
        .await?;
    Ok(())
}

/// How long whoever holds a table is waited for, where all of its servers' time would be too long.
const LOCK_WAIT: &str = "SET SESSION lock_wait_timeout = 60";
const LOCK_WAIT_OVER: u16 = 1205;

/// Waits until a definition of the table that is in the log is in the catalog too: a server may send its log before it has committed what
/// is told there (MySQL, most of all where `rpl_semi_sync_source_wait_point = AFTER_SYNC` has it wait for a replica in between). Whoever
/// opens the table waits for whoever defines it. One that is gone, or may not be read, has no definition to wait for.
pub(crate) async fn wait_for_definition(
    connection: &mut Connection,
    table: &TableName,
) -> Result<(), WireError> {
    // Whoever holds the table for longer keeps the log of all others from being read.
    connection.execute(LOCK_WAIT).await?;
    let sql = format!("SELECT 1 FROM {} LIMIT 0", quote::table(table));
    match connection.rows(&sql).await {
        Err(WireError::Server(error)) if error.code == LOCK_WAIT_OVER => {
            Err(WireError::Server(error))
        }
        Ok(_) | Err(WireError::Server(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A table without its columns.
fn bare_table(engine: Engine, row: &TextRow) -> Table {
    let unversioned = row.get(4).filter(|name| !storage::keeps_versions(name));
    Table {
        engine,
        name: name_of(row),
        columns: Vec::new(),
        primary_key: Vec::new(),
        id: None,
        key_prefixes: Vec::new(),
        row_estimate: row.number(2),
        byte_estimate: row
            .number(3)
            .map(|bytes: u64| bytes.max(SMALLEST_DATA_BYTES)),
        outside_snapshot: unversioned.map(storage::outside_snapshot),
        obstacle: None,
        notes: unversioned.map(storage::note).into_iter().collect(),
    }
}

/// Puts the expressions of computed columns behind their types. The catalog has them with quotes spoiled; what makes the table
/// again has them as they are. A table that is gone, or may not be seen, stays as it is.
async fn complete_computed(
    connection: &mut Connection,
    table: &mut Table,
) -> Result<(), WireError> {
    if table.columns.iter().all(Column::is_loaded) {
        return Ok(());
    }
    let sql = format!("SHOW CREATE TABLE {}", quote::table(&table.name));
    let row = match connection.row(&sql).await {
        Err(WireError::Server(_)) => return Ok(()),
        other => other?,
    };
    let definition = row.map(|row| row.text(1).to_owned()).unwrap_or_default();
    let can_demand = table.engine == Engine::MySql;
    for column in table
        .columns
        .iter_mut()
        .filter(|column| !column.is_loaded())
    {
        if let Some(clause) = computed::clause(&definition, &column.name) {
            column.native.push(' ');
            column.native.push_str(clause);
            if can_demand && !column.nullable {
                column.native.push_str(" NOT NULL");
            }
        }
    }
    Ok(())
}

/// The columns of one table; empty when it does not exist.
pub(crate) async fn columns(
    connection: &mut Connection,
    table: &TableName,
) -> Result<Vec<CatalogColumn>, WireError> {
    let mut columns = columns_of(connection, Scope::Table(table)).await?;
    Ok(pick(&mut columns, table))
}

/// The names of the columns of all user tables, in their order.
pub(crate) async fn column_names(
    connection: &mut Connection,
) -> Result<HashMap<TableName, Vec<String>>, WireError> {
    let columns = columns_of(connection, Scope::User).await?;
    let named = columns.into_iter().map(|(table, columns)| {
        let names = columns.into_iter().map(|column| column.name);
        (table, names.collect())
    });
    Ok(named.collect())
}

/// What was found for a table. A server that folds the case of names answers under another spelling; one that compares
/// names without regard to case may answer for two tables.
fn pick<T: Default>(found: &mut HashMap<TableName, T>, table: &TableName) -> T {
    if let Some(exact) = found.remove(table) {
        return exact;
    }
    let only = found.keys().next().cloned().filter(|_| found.len() == 1);
    only.and_then(|name| found.remove(&name))
        .unwrap_or_default()
}

/// The storage engine of a table; `None` when it does not exist.
pub(crate) async fn storage_engine(
    connection: &mut Connection,
    table: &TableName,
) -> Result<Option<String>, WireError> {
    let sql = format!(
        "SELECT coalesce(engine, table_type) FROM information_schema.tables WHERE {}",
        Scope::Table(table).condition("table_schema", "table_name")
    );
    Ok(connection
        .row(&sql)
        .await?
        .map(|row| row.text(0).to_owned()))
}

fn name_of(row: &TextRow) -> TableName {
    TableName::new(row.text(0), row.text(1))
}

async fn columns_of(
    connection: &mut Connection,
    scope: Scope<'_>,
) -> Result<HashMap<TableName, Vec<CatalogColumn>>, WireError> {
    let json_texts = json_texts_of(connection, scope).await?;
    let srid = if connection.engine() == Engine::MySql {
        "srs_id"
    } else {
        "NULL"
    };
    let sql = format!(
        "SELECT table_schema, table_name, column_name, data_type, column_type, \
         character_maximum_length, numeric_precision, numeric_scale, datetime_precision, \
         character_set_name, collation_name, is_nullable, extra, {srid}, column_default \
         FROM information_schema.columns WHERE {} \
         ORDER BY table_schema, table_name, ordinal_position",
        scope.condition("table_schema", "table_name")
    );
    let engine = connection.engine();
    let mut columns: HashMap<TableName, Vec<CatalogColumn>> = HashMap::new();
    for row in connection.rows(&sql).await? {
        let table = name_of(&row);
        let name = row.text(2).to_owned();
        let is_json_text = json_texts.contains(&(table.clone(), name.clone()))
            && row.text(3) == "longtext"
            && row.text(9) == "utf8mb4";
        let extra = row.text(12).to_ascii_uppercase();
        let column = CatalogColumn {
            ty: CatalogType {
                name: row.text(3).to_ascii_lowercase(),
                full: row.text(4).to_owned(),
                length: row.number(5),
                precision: row.number(6),
                scale: row.number(7),
                fraction_digits: row.number(8),
                charset: row.get(9).map(str::to_owned),
                collation: row.get(10).map(str::to_owned),
                srid: row.number(13),
                is_json_text,
            },
            name,
            nullable: row.text(11) == "YES",
            generation: generation(&extra),
            default: default(engine, row.get(14), &extra),
            is_invisible: extra.contains("INVISIBLE"),
        };
        columns.entry(table).or_default().push(column);
    }
    Ok(columns)
}

/// `EXTRA` holds several notes; `DEFAULT_GENERATED` of MySQL only says that the default is an expression.
fn generation(extra: &str) -> Generation {
    if extra.contains("VIRTUAL GENERATED")
        || extra.contains("STORED GENERATED")
        || extra.contains("PERSISTENT GENERATED")
    {
        Generation::Computed
    } else if extra.contains("AUTO_INCREMENT") {
        Generation::Identity
    } else {
        Generation::None
    }
}

/// MariaDB tells a default in SQL, NULL included; MySQL tells the text of a constant, and an expression with a note.
fn default(engine: Engine, told: Option<&str>, extra: &str) -> Option<String> {
    let told = told?;
    if engine == Engine::MariaDb {
        return (!told.eq_ignore_ascii_case("null")).then(|| told.to_owned());
    }
    let is_expression = extra.contains("DEFAULT_GENERATED") || told.starts_with("b'");
    Some(if is_expression {
        told.to_owned()
    } else {
        quote::literal(told)
    })
}

/// MariaDB's JSON is a text whose own check constraint demands valid JSON.
async fn json_texts_of(
    connection: &mut Connection,
    scope: Scope<'_>,
) -> Result<HashSet<(TableName, String)>, WireError> {
    if connection.engine() != Engine::MariaDb {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "SELECT constraint_schema, table_name, constraint_name FROM information_schema.check_constraints \
         WHERE level = 'Column' AND check_clause = concat('json_valid(`', replace(constraint_name, '`', '``'), '`)') \
         AND {}",
        scope.condition("constraint_schema", "table_name")
    );
    let rows = connection.rows(&sql).await?;
    Ok(rows
        .iter()
        .map(|row| (name_of(row), row.text(2).to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_columns_are_told_from_defaults() {
        assert_eq!(
            generation("STORED GENERATED INVISIBLE"),
            Generation::Computed
        );
        assert_eq!(generation("VIRTUAL GENERATED"), Generation::Computed);
        assert_eq!(
            generation("DEFAULT_GENERATED ON UPDATE CURRENT_TIMESTAMP"),
            Generation::None
        );
        assert_eq!(generation("AUTO_INCREMENT"), Generation::Identity);
    }
}
