use whimbrel_core::TableName;
use whimbrel_core::objects::{Check, ForeignKey, OtherObject, ReferenceAction};

use super::super::{flag, text};
use super::{Described, names, optional};
use crate::wire::{Connection, TextRow, WireError};

/// Those of partitions belong to their root's. Columns that a server before 18 does not have are read from the row as JSON.
const FOREIGN_KEYS: &str = "
select c.conrelid, c.conname, rn.nspname, rc.relname, c.confdeltype, c.confupdtype, c.confmatchtype = 'f',
       case when c.condeferrable then 'DEFERRABLE' || case when c.condeferred then ' INITIALLY DEFERRED' else '' end end,
       coalesce((j->>'conenforced')::bool, true), c.convalidated, coalesce((j->>'conperiod')::bool, false), pg_get_constraintdef(c.oid),
       (select json_agg(a.attname order by k.place) from unnest(c.conkey) with ordinality as k(attnum, place)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum),
       (select json_agg(a.attname order by k.place) from unnest(c.confkey) with ordinality as k(attnum, place)
        join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.attnum),
       (select json_agg(a.attname order by k.place) from unnest(c.confdelsetcols) with ordinality as k(attnum, place)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum)
from pg_constraint c join pg_class rc on rc.oid = c.confrelid join pg_namespace rn on rn.oid = rc.relnamespace, to_jsonb(c) j
where c.contype = 'f' and c.conparentid = 0 and c.conrelid = any($1)
order by c.conrelid, c.conname collate \"C\"";

const CHECKS: &str = "
select c.conrelid, c.conname, pg_get_expr(c.conbin, c.conrelid), coalesce((to_jsonb(c)->>'conenforced')::bool, true), c.convalidated
from pg_constraint c where c.contype = 'c' and c.conrelid = any($1)
order by c.conrelid, c.conname collate \"C\"";

pub(super) async fn read_foreign_keys(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    for row in described.rows(connection, FOREIGN_KEYS).await? {
        let key = foreign_key(&row)?;
        let is_temporal = flag(&row, 10)?;
        let table = described.table(&row)?;
        if is_temporal {
            let other = OtherObject {
                what: "foreign key over periods".to_owned(),
                name: format!("{}.{}", table.table, key.name),
                native: optional(&row, 11),
                is_of_engine: false,
            };
            described.objects.others.push(other);
        } else {
            table.foreign_keys.push(key);
        }
    }
    Ok(())
}

fn foreign_key(row: &TextRow) -> Result<ForeignKey, WireError> {
    Ok(ForeignKey {
        name: text(row, 1)?.to_owned(),
        columns: names(row, 12)?,
        referenced: TableName::new(text(row, 2)?, text(row, 3)?),
        referenced_columns: names(row, 13)?,
        on_delete: action(text(row, 4)?)?,
        on_update: action(text(row, 5)?)?,
        on_delete_columns: names(row, 14)?,
        matches_full: flag(row, 6)?,
        deferral: optional(row, 7),
        is_enforced: flag(row, 8)?,
        is_validated: flag(row, 9)?,
    })
}

fn action(code: &str) -> Result<ReferenceAction, WireError> {
    match code {
        "a" => Ok(ReferenceAction::NoAction),
        "r" => Ok(ReferenceAction::Restrict),
        "c" => Ok(ReferenceAction::Cascade),
        "n" => Ok(ReferenceAction::SetNull),
        "d" => Ok(ReferenceAction::SetDefault),
        other => Err(WireError::Protocol(format!(
            "unknown action {other} of a foreign key"
        ))),
    }
}

pub(super) async fn read_checks(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    for row in described.rows(connection, CHECKS).await? {
        let check = Check {
            name: text(&row, 1)?.to_owned(),
            native: text(&row, 2)?.to_owned(),
            condition: None,
            is_enforced: flag(&row, 3)?,
            is_validated: flag(&row, 4)?,
        };
        described.table(&row)?.checks.push(check);
    }
    Ok(())
}
