//! Tables that are at the target already, and that a task keeps.

use whimbrel_connector::{Concern, Error, Findings};
use whimbrel_core::TableName;

use super::{is_of, rows};
use crate::wire::Connection;

const KEYS: &str = "target-table-has-unique-key-or-primary-key-for-cdc";
const CONSTRAINTS: &str = "all-check-secondary-constraints";
const INDEXES: &str = "mysql-check-secondary-indexes";

/// `(is_followed, keeps_tables)`: whether changes are followed, and whether the tables are kept.
pub(super) async fn look(
    connection: &mut Connection,
    tables: &[TableName],
    (is_followed, keeps_tables): (bool, bool),
    findings: &mut Findings,
) {
    let found = if keeps_tables && !tables.is_empty() {
        kept(connection, tables).await
    } else {
        Ok(Vec::new())
    };
    let found = found.map(|mut concerns| {
        concerns.retain(|concern| is_followed || concern.check != KEYS);
        concerns
    });
    findings.note(&[KEYS, CONSTRAINTS, INDEXES], found);
}

async fn kept(connection: &mut Connection, tables: &[TableName]) -> Result<Vec<Concern>, Error> {
    let sql = format!(
        "SELECT t.table_schema, t.table_name,
           (SELECT COUNT(*) FROM information_schema.table_constraints k WHERE k.table_schema = t.table_schema AND k.table_name = t.table_name
            AND k.constraint_type IN ('PRIMARY KEY', 'UNIQUE')),
           (SELECT GROUP_CONCAT(DISTINCT k.constraint_name ORDER BY 1 SEPARATOR ', ') FROM information_schema.table_constraints k
            WHERE k.table_schema = t.table_schema AND k.table_name = t.table_name AND k.constraint_type IN ('FOREIGN KEY', 'CHECK')),
           (SELECT GROUP_CONCAT(DISTINCT s.index_name ORDER BY 1 SEPARATOR ', ') FROM information_schema.statistics s
            WHERE s.table_schema = t.table_schema AND s.table_name = t.table_name AND s.index_name <> 'PRIMARY')
         FROM information_schema.tables t WHERE t.table_type <> 'VIEW' AND {} ORDER BY 1, 2",
        is_of(("t.table_schema", "t.table_name"), tables)
    );
    let mut concerns = Vec::new();
    for row in rows(connection, &sql).await? {
        let name = format!("{}.{}", row.text(0), row.text(1));
        if row.text(2) == "0" {
            concerns.push(Concern::new(
                KEYS,
                &name,
                "the table is there and kept, and has no key by which rows that change are found: each is looked for in the whole table",
                "give the table at the target a primary key",
            ));
        }
        for (check, names, what, remedy) in [
            (
                CONSTRAINTS,
                row.text(3),
                "constraints",
                "drop them for the load and make them again behind it, or let the load drop and make the table anew; checks refuse rows that violate them",
            ),
            (
                INDEXES,
                row.text(4),
                "indexes",
                "drop them for the load and make them again behind it; a load into indexes takes several times as long",
            ),
        ] {
            if !names.is_empty() {
                concerns.push(Concern::new(
                    check,
                    &name,
                    format!("the table is there and kept with its {what} {names}"),
                    remedy,
                ));
            }
        }
    }
    Ok(concerns)
}
