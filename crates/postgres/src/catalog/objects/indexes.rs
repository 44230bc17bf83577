use serde::Deserialize;
use whimbrel_core::objects::{Index, IndexMethod, IndexPart, IndexedValue};

use super::super::{flag, text};
use super::{Described, names, optional};
use crate::wire::{Connection, TextRow, WireError};

/// The text behind the table's name is cut off at the length of what stands before it, which is put together as the server does: names may hold
/// anything. Options of a part: 1 is DESC.
const INDEXES: &str = "
select i.indrelid, ic.relname, am.amname, i.indisunique, coalesce((to_jsonb(i)->>'indnullsnotdistinct')::bool, false),
       substr(pg_get_indexdef(i.indexrelid), 2 + length(
         'CREATE ' || case when i.indisunique then 'UNIQUE ' else '' end || 'INDEX ' || quote_ident(ic.relname) || ' ON '
         || case when ic.relkind = 'I' then 'ONLY ' else '' end || quote_ident(n.nspname) || '.' || quote_ident(tc.relname))),
       pg_get_expr(i.indpred, i.indrelid), pg_get_constraintdef(c.oid),
       (select json_agg(json_build_object(
            'column', a.attname,
            'expression', case when k.attnum = 0 then pg_get_indexdef(i.indexrelid, k.place::int, false) end,
            'descending', (i.indoption[k.place - 1] & 1) = 1,
            'peculiarity', nullif(concat_ws(' ',
               case when not o.opcdefault then 'operator class ' || o.opcname end,
               case when a.attcollation <> i.indcollation[k.place - 1] then 'collation ' || i.indcollation[k.place - 1]::regcollation end), ''))
            order by k.place)
        from unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
        left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum and k.attnum <> 0
        join pg_opclass o on o.oid = i.indclass[k.place - 1]
        where k.place <= i.indnkeyatts),
       (select json_agg(a.attname order by k.place)
        from unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where k.place > i.indnkeyatts)
from pg_index i
join pg_class ic on ic.oid = i.indexrelid join pg_am am on am.oid = ic.relam
join pg_class tc on tc.oid = i.indrelid join pg_namespace n on n.oid = tc.relnamespace
left join pg_constraint c on c.conindid = i.indexrelid and c.conrelid = i.indrelid and c.contype in ('u', 'x')
where not i.indisprimary and i.indisvalid and i.indrelid = any($1)
order by i.indrelid, ic.relname collate \"C\"";

#[derive(Deserialize)]
struct Part {
    column: Option<String>,
    expression: Option<String>,
    descending: bool,
    peculiarity: Option<String>,
}

impl Part {
    fn described(self) -> IndexPart {
        IndexPart {
            value: match self.column {
                Some(column) => IndexedValue::Column(column),
                None => IndexedValue::Expression(self.expression.unwrap_or_default()),
            },
            is_descending: self.descending,
            prefix: None,
            peculiarity: self.peculiarity,
        }
    }
}

pub(super) async fn read(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    for row in described.rows(connection, INDEXES).await? {
        let index = index(&row)?;
        described.table(&row)?.indexes.push(index);
    }
    Ok(())
}

fn index(row: &TextRow) -> Result<Index, WireError> {
    let parts: Vec<Part> = serde_json::from_str(text(row, 8)?)
        .map_err(|_| WireError::Protocol("the parts of an index are not a list".to_owned()))?;
    Ok(Index {
        name: text(row, 1)?.to_owned(),
        method: match text(row, 2)? {
            "btree" => IndexMethod::BTree,
            "hash" => IndexMethod::Hash,
            other => IndexMethod::Other(other.to_owned()),
        },
        is_unique: flag(row, 3)?,
        nulls_agree: flag(row, 4)?,
        parts: parts.into_iter().map(Part::described).collect(),
        included: names(row, 9)?,
        predicate: optional(row, 6),
        constraint: optional(row, 7),
        native: Some(text(row, 5)?.to_owned()),
        is_ignored: false,
    })
}
