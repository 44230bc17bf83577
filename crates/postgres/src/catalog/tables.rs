use std::collections::HashMap;

use whimbrel_core::{Column, ColumnType, Engine, Generation, Partition, Table, TableName};

use super::{flag, labels, number, oid_array, text};
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

/// Views of users, materialized ones among them, like [`TABLES`].
const VIEWS: &str = "
select c.oid, n.nspname, c.relname, false,
       greatest(c.reltuples, 0)::bigint, c.relkind = 'm' and c.reltuples >= 0
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm') and c.relpersistence <> 't'
  and n.nspname <> 'information_schema' and n.nspname !~ '^pg_' and c.relname !~ '^awsdms_'
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname collate \"C\", c.relname collate \"C\"";

/// The tables that hold the rows: the table itself, or the leaves of its partition tree. Read from `pg_inherits` rather than
/// through `pg_partition_tree`, because a query sees the catalog as its snapshot has it, and a function as it is now. So does the
/// file's number here, while sizes are those of now and NULL for what was dropped.
const RELATIONS: &str = "
with recursive tree(root, oid) as (
  select oid, oid from pg_class where oid = any($1)
  union all
  select t.root, i.inhrelid from tree t join pg_class p on p.oid = t.oid and p.relkind = 'p'
  join pg_inherits i on i.inhparent = t.oid
)
select t.root, n.nspname, c.relname, c.relkind = 'f', c.oid, c.relfilenode,
       coalesce(pg_relation_size(c.oid), 0), coalesce(pg_table_size(c.oid), 0), greatest(c.reltuples, 0)::bigint
from tree t join pg_class c on c.oid = t.oid join pg_namespace n on n.oid = c.relnamespace
where c.relkind <> 'p'
order by t.root, n.nspname collate \"C\", c.relname collate \"C\"";

/// Every relation of a partition tree, those that hold no rows themselves included, each behind the one that it is a part of.
const PARTITIONS: &str = "
with recursive tree(parent, oid, depth) as (
  select null::oid, c.oid, 0 from pg_class c where c.oid = $1 and c.relkind = 'p'
  union all
  select i.inhparent, i.inhrelid, t.depth + 1 from tree t join pg_class p on p.oid = t.oid and p.relkind = 'p'
  join pg_inherits i on i.inhparent = t.oid
)
select coalesce(t.parent, 0), c.oid, n.nspname, c.relname
from tree t join pg_class c on c.oid = t.oid join pg_namespace n on n.oid = c.relnamespace
order by t.depth, n.nspname collate \"C\", c.relname collate \"C\"";

/// Columns with domains followed to their base type. `base` keeps the first modifier that a domain on the way sets.
/// From version 18 on a column has `attnotnull` also where old rows may be NULL: its constraint is NOT VALID.
/// The twelfth tells whether the binary form holds object ids of types, or does not exist, so that rows must travel as text.
pub(crate) const COLUMNS: &str = "
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
                  join pg_namespace cn on cn.oid = co.collnamespace where co.oid = a.attcollation) else '' end
       || case when a.attgenerated <> '' then
            (select ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ')' || case a.attgenerated when 'v' then ' VIRTUAL' else ' STORED' end
             from pg_attrdef d where d.adrelid = a.attrelid and d.adnum = a.attnum) else '' end,
       a.attnotnull and not exists (select from pg_constraint k where k.conrelid = a.attrelid and k.contype = 'n'
         and k.conkey = array[a.attnum] and not k.convalidated), a.attgenerated <> '', a.attidentity <> '',
       bt.oid, b.modifier, format_type(bt.oid, null),
       case when bt.typtype = 'e' then
            (select json_agg(e.enumlabel order by e.enumsortorder)::text from pg_enum e where e.enumtypid = bt.oid) end,
       bt.typsend = 0 or bt.typreceive = 0 or
       (bt.oid >= 16384 and (bt.typtype in ('c', 'r', 'm') or bt.typelem <> 0)) or
       (bt.oid < 16384 and bt.typname ~ '^_?(record|reg.*|aclitem)$'),
       a.attnum,
       coalesce((select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d
                 where d.adrelid = a.attrelid and d.adnum = a.attnum and a.attgenerated = ''),
                t.typdefault, case when a.atthasmissing then a.attmissingval::text end)
from pg_attribute a
join base b on b.attrelid = a.attrelid and b.attnum = a.attnum
join pg_type bt on bt.oid = b.oid and bt.typtype <> 'd'
join pg_type t on t.oid = a.atttypid
where a.attrelid = any($1)
order by a.attrelid, a.attnum";

/// How many columns [`COLUMNS`] gives.
pub(crate) const COLUMN_FIELDS: usize = 14;

pub(crate) const KEYS: &str = "
select i.indrelid, a.attname
from pg_index i cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indisprimary and i.indrelid = any($1) and k.place <= i.indnkeyatts
order by i.indrelid, k.place";

/// A table that holds rows: an ordinary one, or a leaf of a partitioned one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) name: TableName,
    /// Whether its rows live on another server.
    pub(crate) is_foreign: bool,
    pub(crate) oid: u32,
    /// The number of its file. TRUNCATE, and whatever writes a table anew, gives it another one.
    pub(crate) file: u32,
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
    /// Whether it only shows rows of others, or what others held.
    pub(crate) is_view: bool,
    /// Whether a column's binary form means something on this server only.
    pub(crate) needs_text: bool,
}

/// The schemas of users, sorted; the schema of our own records is none of theirs.
pub(crate) async fn schemas(connection: &mut Connection) -> Result<Vec<String>, WireError> {
    let sql = "select nspname from pg_namespace where nspname not in ('information_schema', 'awsdms_control') and nspname !~ '^pg_'
               order by nspname collate \"C\"";
    let rows = connection.query(sql).await?;
    rows.iter()
        .map(|row| text(row, 0).map(str::to_owned))
        .collect()
}

/// Schema and name of every table, and whether the user is its owner or has the owner's rights.
pub(crate) async fn names_with_owners(
    connection: &mut Connection,
) -> Result<Vec<TextRow>, WireError> {
    let sql = format!(
        "select t.nspname, t.relname, pg_has_role(o.relowner, 'USAGE'), t.oid from ({TABLES}) t join pg_class o on o.oid = t.oid"
    );
    connection.query(&sql).await
}

/// Describes the tables that are wanted, sorted by name.
pub(crate) async fn describe_tables(
    connection: &mut Connection,
    is_wanted: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
) -> Result<Vec<(Table, TableDetail)>, WireError> {
    describe(connection, TABLES, is_wanted).await
}

/// Describes the views that are wanted like tables, sorted by name.
pub(crate) async fn describe_views(
    connection: &mut Connection,
    is_wanted: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
) -> Result<Vec<(Table, TableDetail)>, WireError> {
    let mut views = describe(connection, VIEWS, is_wanted).await?;
    for (_, detail) in &mut views {
        detail.is_view = true;
    }
    Ok(views)
}

async fn describe(
    connection: &mut Connection,
    list: &str,
    is_wanted: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
) -> Result<Vec<(Table, TableDetail)>, WireError> {
    let mut tables = Vec::new();
    for row in connection.query(list).await? {
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
    let mut partition_rows = vec![0; tables.len()];
    for row in connection.query(&RELATIONS.replace("$1", &oids)).await? {
        let place = place_of(&row)?;
        let relation = relation(&row)?;
        *tables[place].0.byte_estimate.get_or_insert(0) += relation.all_bytes;
        partition_rows[place] += relation.row_estimate;
    }
    for ((table, detail), rows) in tables.iter_mut().zip(partition_rows) {
        if detail.is_partitioned {
            table.row_estimate = Some(rows);
        }
    }
    Ok(tables)
}

/// The relations that hold a table's rows, as the connection's snapshot sees them.
pub(crate) async fn relations(
    connection: &mut Connection,
    table_oid: u32,
) -> Result<Vec<Relation>, WireError> {
    let sql = RELATIONS.replace("$1", &oid_array(std::iter::once(table_oid)));
    connection.query(&sql).await?.iter().map(relation).collect()
}

/// A partition with its relation.
pub(crate) struct PartitionRelation {
    pub(crate) partition: Partition,
    pub(crate) oid: u32,
    /// The relation that it is a part of: another partition, or the table.
    pub(crate) parent: u32,
}

/// The partitions of a table and their parts; none for one that has none. Those of the table's own schema are named without it.
pub(crate) async fn partitions(
    connection: &mut Connection,
    table_oid: u32,
) -> Result<Vec<PartitionRelation>, WireError> {
    let sql = PARTITIONS.replace("$1", &table_oid.to_string());
    let rows = connection.query(&sql).await?;
    let mut schema = None;
    let mut partitions: Vec<PartitionRelation> = Vec::new();
    for row in &rows {
        let (parent, oid) = (number(row, 0)?, number(row, 1)?);
        let (own_schema, name) = (text(row, 2)?, text(row, 3)?);
        let Some(table_schema) = schema else {
            schema = Some(own_schema);
            continue;
        };
        let of = partitions.iter().find(|other| other.oid == parent);
        let partition = Partition {
            name: if own_schema == table_schema {
                name.to_owned()
            } else {
                format!("{own_schema}.{name}")
            },
            parent: of.map(|parent| parent.partition.name.clone()),
        };
        partitions.push(PartitionRelation {
            partition,
            oid,
            parent,
        });
    }
    Ok(partitions)
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
        id: Some(number(row, 0)?),
        key_prefixes: Vec::new(),
        row_estimate,
        byte_estimate: None,
        outside_snapshot: None,
        obstacle: None,
        notes: Vec::new(),
    };
    let detail = TableDetail {
        oid: number(row, 0)?,
        is_partitioned: flag(row, 3)?,
        is_view: false,
        needs_text: false,
    };
    Ok((table, detail))
}

fn relation(row: &TextRow) -> Result<Relation, WireError> {
    Ok(Relation {
        name: TableName::new(text(row, 1)?, text(row, 2)?),
        is_foreign: flag(row, 3)?,
        oid: number(row, 4)?,
        file: number(row, 5)?,
        main_bytes: number(row, 6)?,
        all_bytes: number(row, 7)?,
        row_estimate: number(row, 8)?,
    })
}

/// Reads a row of [`COLUMNS`]; whether rows must travel as text because of it.
pub(crate) fn column(row: &TextRow) -> Result<(Column, bool), WireError> {
    let ty: ColumnType = CatalogType {
        oid: number(row, 7)?,
        modifier: number(row, 8)?,
        name: text(row, 9)?,
        labels: labels(row, 10)?,
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
        id: Some(number(row, 12)?),
        default: row.get(13).cloned().flatten(),
    };
    Ok((column, flag(row, 11)?))
}
