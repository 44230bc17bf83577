//! Partitions of a table, and their parts.

use whimbrel_core::{Partition, TableName};

use crate::quote;
use crate::wire::{Connection, WireError};

/// The partitions of a table in the server's order, each before its parts, with about how many rows it has; none for a table without.
pub(crate) async fn partitions(
    connection: &mut Connection,
    table: &TableName,
) -> Result<Vec<(Partition, u64)>, WireError> {
    let sql = format!(
        "SELECT partition_name, subpartition_name, table_rows FROM information_schema.partitions \
         WHERE table_schema = {} AND table_name = {} AND partition_name IS NOT NULL \
         ORDER BY partition_ordinal_position, subpartition_ordinal_position",
        quote::literal(&table.schema),
        quote::literal(&table.name)
    );
    let mut partitions: Vec<(Partition, u64)> = Vec::new();
    // A row tells of a part where there are some, and of the partition otherwise.
    for row in connection.rows(&sql).await? {
        let name = row.text(0).to_owned();
        let rows = row.number(2).unwrap_or(0);
        let is_known = partitions
            .iter_mut()
            .find(|(one, _)| one.parent.is_none() && one.name == name);
        match is_known {
            Some((_, all)) => *all += rows,
            None => partitions.push((
                Partition {
                    name: name.clone(),
                    parent: None,
                },
                rows,
            )),
        }
        if let Some(part) = row.get(1) {
            let part = Partition {
                name: part.to_owned(),
                parent: Some(name),
            };
            partitions.push((part, rows));
        }
    }
    Ok(partitions)
}
