//! What columns have by their domains, as columns of an engine without domains would have it.

use whimbrel_core::objects::{Check, ColumnDefault};

use super::super::{flag, text};
use super::Described;
use crate::quote::identifier;
use crate::wire::{Connection, WireError};

/// The checks of the domain of a column, and of those that it rests on.
const CHECKS: &str = "
with recursive used as (
  select a.attrelid, a.attnum, a.attname, a.attnotnull, t.oid, t.typname, t.typbasetype, t.typnotnull, 1 as depth
  from pg_attribute a join pg_type t on t.oid = a.atttypid
  where t.typtype = 'd' and a.attnum > 0 and not a.attisdropped and a.attrelid = any($1)
  union all
  select u.attrelid, u.attnum, u.attname, u.attnotnull, t.oid, t.typname, t.typbasetype, t.typnotnull, u.depth + 1
  from used u join pg_type t on t.oid = u.typbasetype where t.typtype = 'd'
), checks as (
  select u.*, k.conname as name, pg_get_expr(k.conbin, 0) as condition, k.convalidated as is_validated
  from used u join pg_constraint k on k.contypid = u.oid and k.contype = 'c'
  union all
  select u.*, u.typname || '_not_null', 'VALUE IS NOT NULL', true from used u where u.typnotnull and not u.attnotnull
)
select attrelid, attname, name, condition, is_validated from checks order by attrelid, attnum, depth, name collate \"C\"";

/// A domain has the default of the one that it rests on unless it has another.
const DEFAULTS: &str = "
select a.attrelid, a.attname, pg_get_expr(t.typdefaultbin, 0)
from pg_attribute a join pg_type t on t.oid = a.atttypid
where t.typtype = 'd' and t.typdefaultbin is not null and a.attgenerated = '' and not a.atthasdef and a.attnum > 0 and not a.attisdropped and a.attrelid = any($1)
order by a.attrelid, a.attnum";

pub(super) async fn read(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    for row in described.rows(connection, CHECKS).await? {
        let (column, name) = (text(&row, 1)?, text(&row, 2)?);
        let check = Check {
            name: format!("{column}_{name}"),
            native: of_column(text(&row, 3)?, column),
            condition: None,
            is_enforced: true,
            is_validated: flag(&row, 4)?,
        };
        described.table(&row)?.of_domains.checks.push(check);
    }
    for row in described.rows(connection, DEFAULTS).await? {
        let default = ColumnDefault {
            column: text(&row, 1)?.to_owned(),
            native: Some(text(&row, 2)?.to_owned()),
            value: None,
            on_update: None,
        };
        described.table(&row)?.of_domains.defaults.push(default);
    }
    Ok(())
}

/// The condition of a domain, on a column. The server writes names that are not in quotes in lower case.
fn of_column(condition: &str, column: &str) -> String {
    let column = identifier(column);
    let parts = condition.split('\'').enumerate();
    let parts = parts.map(|(place, part)| match place % 2 {
        0 => part.replace("VALUE", &column),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_domain_is_that_of_the_column() {
        assert_eq!(
            of_column(
                "((VALUE <> 'VALUE''VALUE'::text) OR (VALUE IS NULL))",
                "a b"
            ),
            "((\"a b\" <> 'VALUE''VALUE'::text) OR (\"a b\" IS NULL))"
        );
    }
}
