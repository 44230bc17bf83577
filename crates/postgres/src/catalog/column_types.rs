use whimbrel_core::ColumnType;

use super::{number, text};
use crate::types::CatalogType;
use crate::wire::{Connection, TextRow, WireError};

/// Types with domains followed to their base, as for the columns of a table, one row for each type of the list that exists.
const COLUMN_TYPES: &str = "
with recursive used as (
  select x.place, x.oid, x.modifier from unnest($1, $2) with ordinality as x(oid, modifier, place)
), base as (
  select place, oid, modifier from used
  union all
  select b.place, t.typbasetype, case when b.modifier = -1 then t.typtypmod else b.modifier end
  from base b join pg_type t on t.oid = b.oid where t.typtype = 'd'
)
select u.place, format_type(u.oid, u.modifier), bt.oid, b.modifier, format_type(bt.oid, null),
       case when bt.typtype = 'e' then
            (select json_agg(e.enumlabel order by e.enumsortorder)::text from pg_enum e where e.enumtypid = bt.oid) end
from used u join base b using (place) join pg_type bt on bt.oid = b.oid and bt.typtype <> 'd'
order by u.place";

/// What a column of a type holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedType {
    pub(crate) ty: ColumnType,
    /// The type in SQL.
    pub(crate) native: String,
}

/// Describes types given by id and modifier. One that was dropped is described as a type that nobody knows, in text form.
pub(crate) async fn describe_types(
    connection: &mut Connection,
    types: &[(u32, i32)],
) -> Result<Vec<DescribedType>, WireError> {
    let dropped = || DescribedType {
        ty: ColumnType::Native {
            kind: "a type that was dropped".to_owned(),
        },
        native: "text".to_owned(),
    };
    let mut described: Vec<DescribedType> = types.iter().map(|_| dropped()).collect();
    let list = |items: Vec<String>| format!("'{{{}}}'", items.join(","));
    let oids = list(types.iter().map(|(oid, _)| oid.to_string()).collect());
    let modifiers = list(types.iter().map(|(_, m)| m.to_string()).collect());
    // Both are lists of numbers, so nothing needs quoting.
    let sql = COLUMN_TYPES
        .replace("$1", &format!("{oids}::oid[]"))
        .replace("$2", &format!("{modifiers}::int[]"));
    for row in connection.query(&sql).await? {
        let place: usize = number(&row, 0)?;
        let slot = place.checked_sub(1).and_then(|at| described.get_mut(at));
        *slot.ok_or_else(|| WireError::Protocol(format!("unasked type {place}")))? = of_row(&row)?;
    }
    Ok(described)
}

fn of_row(row: &TextRow) -> Result<DescribedType, WireError> {
    let ty = CatalogType {
        oid: number(row, 2)?,
        modifier: number(row, 3)?,
        name: text(row, 4)?,
        labels: super::labels(row, 5)?,
    };
    Ok(DescribedType {
        ty: ty.column_type(),
        native: text(row, 1)?.to_owned(),
    })
}
