use std::collections::{BTreeSet, HashMap};

use whimbrel_core::TableName;

use super::{Scope, name_of};
use crate::wire::{Connection, WireError};

/// When each of the tables was made, as its server tells it to the second. It is another time for a table that takes the name of one of them: one
/// that is renamed keeps its own (MySQL 9.7), or gets a new one (MariaDB 10.11, which tells when the file of the definition was last touched). It is
/// another time, too, once a table was altered in place.
pub(crate) async fn made_at(
    connection: &mut Connection,
    tables: &[&TableName],
) -> Result<HashMap<TableName, String>, WireError> {
    let databases: BTreeSet<String> = tables.iter().map(|name| name.schema.clone()).collect();
    let scope = match tables {
        [] => return Ok(HashMap::new()),
        [only] => Scope::Table(only),
        _ => Scope::Databases(&databases),
    };
    let sql = format!(
        "SELECT table_schema, table_name, create_time FROM information_schema.tables WHERE {}",
        scope.condition("table_schema", "table_name")
    );
    let rows = connection.rows(&sql).await?;
    let made = rows
        .iter()
        .filter_map(|row| Some((name_of(row), row.get(2)?.to_owned())));
    Ok(made.collect())
}
