//! Secondary indexes.

use whimbrel_core::Engine;
use whimbrel_core::objects::{Index, IndexMethod, IndexPart, IndexedValue};

use super::Described;
use crate::wire::{Connection, TextRow, WireError};

pub(super) async fn read(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    let own = match connection.engine() {
        Engine::MariaDb => "ignored = 'YES', NULL",
        Engine::MySql | Engine::Postgres => "is_visible = 'NO', expression",
    };
    let sql = format!(
        "SELECT table_schema, table_name, index_name, non_unique, column_name, collation, sub_part, index_type, {own} \
         FROM information_schema.statistics WHERE index_name <> 'PRIMARY' AND table_schema IN ($1) \
         ORDER BY table_schema, table_name, index_name, seq_in_index"
    );
    for row in described.rows(connection, &sql).await? {
        let Some(table) = described.table(&row) else {
            continue;
        };
        match table.indexes.last_mut() {
            Some(index) if index.name == row.text(2) => index.parts.push(part(&row)),
            _ => table.indexes.push(index(&row)),
        }
    }
    Ok(())
}

fn index(row: &TextRow) -> Index {
    Index {
        name: row.text(2).to_owned(),
        method: match row.text(7) {
            "FULLTEXT" => IndexMethod::FullText,
            "SPATIAL" | "RTREE" => IndexMethod::Spatial,
            "BTREE" => IndexMethod::BTree,
            "HASH" => IndexMethod::Hash,
            other => IndexMethod::Other(other.to_owned()),
        },
        is_unique: row.text(3) == "0",
        nulls_agree: false,
        parts: vec![part(row)],
        included: Vec::new(),
        predicate: None,
        constraint: None,
        native: None,
        is_ignored: row.text(8) == "1",
    }
}

fn part(row: &TextRow) -> IndexPart {
    IndexPart {
        value: match row.get(4) {
            Some(column) => IndexedValue::Column(column.to_owned()),
            None => IndexedValue::Expression(row.text(9).to_owned()),
        },
        is_descending: row.text(5) == "D",
        prefix: row.number(6),
        peculiarity: None,
    }
}
