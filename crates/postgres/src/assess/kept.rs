//! Tables that are at the target already, and that a task keeps.

use whimbrel_connector::{Concern, Error, Findings};
use whimbrel_core::TableName;

use super::{names, query, text};
use crate::wire::Connection;

const KEYS: &str = "target-table-has-unique-key-or-primary-key-for-cdc";
const CONSTRAINTS: &str = "all-check-secondary-constraints";
const INDEXES: &str = "postgres-check-target-secondary-indexes";

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
        "select n.nspname, c.relname,
           exists (select from pg_index i where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null),
           (select string_agg(k.conname, ', ' order by k.conname) from pg_constraint k where k.conrelid = c.oid and k.contype in ('c', 'f', 'x')),
           (select string_agg(x.relname, ', ' order by x.relname) from pg_index i join pg_class x on x.oid = i.indexrelid
            where i.indrelid = c.oid and not i.indisprimary)
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where (n.nspname::text, c.relname::text) in ({}) and c.relkind in ('r', 'p') order by 1, 2",
        names(tables)
    );
    let mut concerns = Vec::new();
    for row in query(connection, &sql).await? {
        let name = format!("{}.{}", text(&row, 0), text(&row, 1));
        if text(&row, 2) != "t" {
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
                text(&row, 3),
                "constraints",
                "drop them for the load and make them again behind it, or let the load drop and make the table anew; rows that violate them are refused",
            ),
            (
                INDEXES,
                text(&row, 4),
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
