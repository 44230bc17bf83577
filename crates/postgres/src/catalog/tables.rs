use std::collections::HashMap;

use whimbrel_core::{Column, ColumnType, Engine, Generation, Table, TableName};

use super::{flag, number, oid_array, text};
use crate::types::CatalogType;
use crate::wire::{Connection, TextRow, WireError};

/// Ordinary and partitioned tables of users. Left out: partitions (read through their root), temporary tables, tables of
/// extensions, and our own control tables.
const TABLES: &str = "
select c.oid, n.nspname, c.relname, c.relkind = 'p',
       greatest(c.reltuples, 0)::bigint, c.reltuples >= 0
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
  and n.nspname <> 'information_schema' and n.nspname !~ '^pg_' and c.relname !~ '^awsdms_'
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname collate \"C\", c.relname collate \"C\"";

/// The tables that hold the rows: the table itself, or the leaves of its partition tree.
const RELATIONS: &str = "
select r.root, n.nspname, c.relname, pg_relation_size(c.oid), pg_table_size(c.oid), greatest(c.reltuples, 0)::bigint
from (select oid as root, oid as leaf from pg_class where oid = any($1) and relkind = 'r'
      union all
      select p.oid, t.relid from pg_class p, pg_partition_tree(p.oid) t
      where p.oid = any($1) and p.relkind = 'p' and t.isleaf) r
join pg_class c on c.oid = r.leaf join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r'
order by n.nspname collate \"C\", c.relname collate \"C\"";

/// Columns with domains followed to their base type. `base` keeps the first modifier that a domain on the way sets.
/// The last column tells whether the binary form holds object ids of types, or does not exist, so that rows must travel as text.
const COLUMNS: &str = "
with recursive used as (
  select a.attrelid, a.attnum, a.atttypid as oid, a.atttypmod as modifier
  from pg_attribute a where a.attrelid = any($1) and a.attnum > 0 and not a.attisdropped
), base as (
  select attrelid, attnum, oid, modifier from used
  union all
  select b.attrelid, b.attnum, t.typbasetype, case when b.modifier = -1 then t.typtypmod else b.modifier end
  from base b join pg_type t on t.oid = b.oid where t.typtype = 'd'
)
select a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod),
       case when a.attcollation <> t.typcollation and a.attcollation <> 0
            then (select format(' COLLATE %I.%I', cn.nspname, co.collname) from pg_collation co
                  join pg_namespace cn on cn.oid = co.collnamespace where co.oid = a.attcollation) else '' end,
       a.attnotnull, a.attgenerated <> '', a.attidentity <> '',
       bt.oid, b.modifier, format_type(bt.oid, null),
       case when bt.typtype = 'e' then
            (select json_agg(e.enumlabel order by e.enumsortorder)::text from pg_enum e where e.enumtypid = bt.oid) end,
       bt.typsend = 0 or bt.typreceive = 0 or
       (bt.oid >= 16384 and (bt.typtype in ('c', 'r', 'm') or bt.typelem <> 0)) or bt.typname in ('record', '_record')
from pg_attribute a
join base b on b.attrelid = a.attrelid and b.attnum = a.attnum
join pg_type bt on bt.oid = b.oid and bt.typtype <> 'd'
join pg_type t on t.oid = a.atttypid
where a.attrelid = any($1)
order by a.attrelid, a.attnum";

const KEYS: &str = "
select i.indrelid, a.attname
from pg_index i cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indisprimary and i.indrelid = any($1) and k.place <= i.indnkeyatts
order by i.indrelid, k.place";

/// A table that holds rows: an ordinary one, or a leaf of a partitioned one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) name: TableName,
    /// Bytes of its main file, in which rows are addressed.
    pub(crate) main_bytes: u64,
    /// Bytes with oversized values and maps.
    pub(crate) all_bytes: u64,
    pub(crate) row_estimate: u64,
}

/// What the readers of a table need beside its description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableDetail {
    pub(crate) oid: u32,
    pub(crate) is_partitioned: bool,
    pub(crate) relations: Vec<Relation>,
    /// Whether a column's binary form means something on this server only.
    pub(crate) needs_text: bool,
}

/// The schemas of users, sorted.
pub(crate) async fn schemas(connection: &mut Connection) -> Result<Vec<String>, WireError> {
    let sql = "select nspname from pg_namespace where nspname <> 'information_schema' and nspname !~ '^pg_'
               order by nspname collate \"C\"";
    let rows = connection.query(sql).await?;
    rows.iter()
        .map(|row| text(row, 0).map(str::to_owned))
        .collect()
}

/// Describes the tables that are wanted, sorted by name.
pub(crate) async fn describe_tables(
    connection: &mut Connection,
    is_wanted: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
) -> Result<Vec<(Table, TableDetail)>, WireError> {
    let mut tables = Vec::new();
    for row in connection.query(TABLES).await? {
        let name = TableName::new(text(&row, 1)?, text(&row, 2)?);
        if is_wanted(&name) {
            tables.push(bare_table(&row, name)?);
        }
    }
    if tables.is_empty() {
        return Ok(tables);
    }
    let oids = oid_array(tables.iter().map(|(_, detail)| detail.oid));
    let places: HashMap<u32, usize> = tables
        .iter()
        .enumerate()
        .map(|(place, (_, detail))| (detail.oid, place))
        .collect();
    let place_of = |row: &TextRow| -> Result<usize, WireError> {
        let oid = number(row, 0)?;
        places
            .get(&oid)
            .copied()
            .ok_or_else(|| WireError::Protocol(format!("unasked table {oid}")))
    };
    for row in connection.query(&COLUMNS.replace("$1", &oids)).await? {
        let (table, detail) = &mut tables[place_of(&row)?];
        let (column, needs_text) = column(&row)?;
        detail.needs_text |= needs_text && column.is_loaded();
        table.columns.push(column);
    }
    for row in connection.query(&KEYS.replace("$1", &oids)).await? {
        let (table, _) = &mut tables[place_of(&row)?];
        let name = text(&row, 1)?;
        table
            .primary_key
            .extend(table.columns.iter().position(|column| column.name == name));
    }
    for row in connection.query(&RELATIONS.replace("$1", &oids)).await? {
        let (_, detail) = &mut tables[place_of(&row)?];
        detail.relations.push(relation(&row)?);
    }
    for (table, detail) in &mut tables {
        let bytes = detail
            .relations
            .iter()
            .map(|relation| relation.all_bytes)
            .sum();
        table.byte_estimate = Some(bytes);
        if detail.is_partitioned {
            let rows = detail
                .relations
                .iter()
                .map(|relation| relation.row_estimate)
                .sum();
            table.row_estimate = Some(rows);
        }
    }
    Ok(tables)
}

fn bare_table(row: &TextRow, name: TableName) -> Result<(Table, TableDetail), WireError> {
    let row_estimate = if flag(row, 5)? {
        Some(number(row, 4)?)
    } else {
        None
    };
    let table = Table {
        engine: Engine::Postgres,
        name,
        columns: Vec::new(),
        primary_key: Vec::new(),
        row_estimate,
        byte_estimate: None,
    };
    let detail = TableDetail {
        oid: number(row, 0)?,
        is_partitioned: flag(row, 3)?,
        relations: Vec::new(),
        needs_text: false,
    };
    Ok((table, detail))
}

fn relation(row: &TextRow) -> Result<Relation, WireError> {
    Ok(Relation {
        name: TableName::new(text(row, 1)?, text(row, 2)?),
        main_bytes: number(row, 3)?,
        all_bytes: number(row, 4)?,
        row_estimate: number(row, 5)?,
    })
}

fn column(row: &TextRow) -> Result<(Column, bool), WireError> {
    let labels = row
        .get(10)
        .and_then(Option::as_deref)
        .map(serde_json::from_str::<Vec<String>>);
    let labels = labels
        .transpose()
        .map_err(|_| WireError::Protocol("the labels of an enum are not a list".to_owned()))?;
    let ty: ColumnType = CatalogType {
        oid: number(row, 7)?,
        modifier: number(row, 8)?,
        name: text(row, 9)?,
        labels,
    }
    .column_type();
    let generation = match (flag(row, 5)?, flag(row, 6)?) {
        (true, _) => Generation::Computed,
        (false, true) => Generation::Identity,
        (false, false) => Generation::None,
    };
    let column = Column {
        name: text(row, 1)?.to_owned(),
        ty,
        native: format!("{}{}", text(row, 2)?, text(row, 3)?),
        nullable: !flag(row, 4)?,
        generation,
    };
    Ok((column, flag(row, 11)?))
}
