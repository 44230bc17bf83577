//! Foreign keys.

use whimbrel_core::TableName;
use whimbrel_core::objects::{ForeignKey, OtherObject, ReferenceAction};

use super::Described;
use crate::catalog::name_of;
use crate::catalog::rules::{Rule, Rules};
use crate::quote;
use crate::wire::{Connection, TextRow, WireError};

const FOREIGN_KEYS: &str = "\
SELECT k.table_schema, k.table_name, k.constraint_name, k.column_name, k.referenced_table_schema, k.referenced_table_name, \
       k.referenced_column_name, r.delete_rule, r.update_rule \
FROM information_schema.key_column_usage k \
LEFT JOIN information_schema.referential_constraints r ON r.constraint_schema = k.constraint_schema \
  AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name \
WHERE k.referenced_table_name IS NOT NULL AND k.table_schema IN ($1) \
ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position";

pub(super) async fn read(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    let mut rules = Rules::default();
    for row in described.rows(connection, FOREIGN_KEYS).await? {
        let (name, told) = (name_of(&row), (row.get(7), row.get(8)));
        if described.table(&row).is_none() {
            continue;
        }
        let key = match rules.of(connection, (&name, row.text(2)), told).await? {
            Rule::Told(on_delete, on_update) => foreign_key(&row, &on_delete, &on_update)?,
            Rule::Gone => continue,
            Rule::Unseen => {
                let (key, others) = (unseen(&name, row.text(2)), &mut described.objects.others);
                if !others.contains(&key) {
                    others.push(key);
                }
                continue;
            }
        };
        let Some(table) = described.table(&row) else {
            continue;
        };
        match table.foreign_keys.last_mut() {
            Some(last) if last.name == key.name => {
                last.columns.extend(key.columns);
                last.referenced_columns.extend(key.referenced_columns);
            }
            _ => table.foreign_keys.push(key),
        }
    }
    Ok(())
}

fn unseen(table: &TableName, key: &str) -> OtherObject {
    OtherObject {
        what: "foreign key whose actions the source's user may not see".to_owned(),
        name: format!("{table}.{key}"),
        native: Some(format!(
            "GRANT SELECT, REFERENCES ON {} TO …",
            quote::table(table)
        )),
        is_of_engine: false,
    }
}

/// A key of one column; those that follow are added to it.
fn foreign_key(row: &TextRow, on_delete: &str, on_update: &str) -> Result<ForeignKey, WireError> {
    Ok(ForeignKey {
        name: row.text(2).to_owned(),
        columns: vec![row.text(3).to_owned()],
        referenced: TableName::new(row.text(4), row.text(5)),
        referenced_columns: vec![row.text(6).to_owned()],
        on_delete: action(on_delete)?,
        on_update: action(on_update)?,
        on_delete_columns: Vec::new(),
        matches_full: false,
        deferral: None,
        is_enforced: true,
        is_validated: true,
    })
}

fn action(rule: &str) -> Result<ReferenceAction, WireError> {
    match rule {
        // The two are one here: each statement checks at once.
        "NO ACTION" => Ok(ReferenceAction::NoAction),
        "RESTRICT" => Ok(ReferenceAction::Restrict),
        "CASCADE" => Ok(ReferenceAction::Cascade),
        "SET NULL" => Ok(ReferenceAction::SetNull),
        "SET DEFAULT" => Ok(ReferenceAction::SetDefault),
        other => Err(WireError::protocol(format!(
            "unknown rule {other:?} of a foreign key"
        ))),
    }
}
