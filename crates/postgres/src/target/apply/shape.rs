use std::collections::HashSet;

use whimbrel_connector::{Error, TargetTable};

use crate::errors::of_table;
use crate::quote::{self, identifier, literal};
use crate::target::ActualColumn;
use crate::types::WireType;
use crate::wire::{Connection, FORMAT_BINARY, FORMAT_TEXT, TextRow};

/// A target table as its catalog has it, with what is needed to write changes to it.
#[derive(Debug)]
pub(super) struct Shape {
    /// Tells shapes apart, also those that a table had one after another.
    pub(super) number: u32,
    pub(super) table: TargetTable,
    /// Schema and name, quoted.
    pub(super) name: String,
    /// The same where rows are found: without those of tables that inherit from it, which are no rows of the table at the source.
    pub(super) only: String,
    /// One for each column of `table`.
    pub(super) columns: Vec<ShapeColumn>,
    /// Quoted names of the target's further columns, without those that it computes.
    pub(super) others: Vec<String>,
    /// A table whose rows a foreign key takes away, or sets to something else, when a row of this one is deleted: not only at the source.
    pub(super) taken_along: Option<String>,
    /// Whether the key can be looked up in an index.
    pub(super) has_key_index: bool,
    /// Columns of the key that a batch is looked up by as elements of an array: see [`super::session`].
    pub(super) looked_up: Vec<usize>,
    /// Whether rows are copied as text, because a column's type has no binary encoder.
    pub(super) is_text: bool,
}

#[derive(Debug)]
pub(super) struct ShapeColumn {
    /// Quoted.
    pub(super) name: String,
    /// The type with domains followed to their base.
    pub(super) actual: ActualColumn,
    pub(super) is_domain: bool,
    pub(super) oid: u32,
    /// The type of arrays of what is passed.
    pub(super) array_oid: u32,
    /// The type without length and precision.
    pub(super) base: String,
    /// Whether values are passed as text, because the type has no binary encoder here, or no type for arrays of its elements.
    pub(super) is_passed_as_text: bool,
    /// The type's own equality, or that of the key's index: `OPERATOR(schema.=)`.
    pub(super) equals: String,
    pub(super) sameness: Sameness,
    /// `GENERATED ALWAYS AS IDENTITY`: an UPDATE cannot set it, an INSERT can.
    pub(super) is_always_identity: bool,
}

/// How it is told that two values are the same, where equality can say less: numbers with trailing zeros, zeros with a sign,
/// padded, case-insensitive and composed values can be equal without being the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sameness {
    /// By the type's equality.
    Equality,
    /// By their stored form, of which each value has one.
    Image,
    /// By their text.
    Text,
}

impl ShapeColumn {
    /// Whether comparing two values takes no longer than comparing two numbers.
    pub(super) fn is_sorted_fast(&self) -> bool {
        // int8, int2, int4, oid, date, timestamp, timestamptz, uuid
        matches!(self.oid, 20 | 21 | 23 | 26 | 1082 | 1114 | 1184 | 2950)
    }

    pub(super) fn format(&self) -> i16 {
        if self.is_passed_as_text {
            FORMAT_TEXT
        } else {
            FORMAT_BINARY
        }
    }
}

/// Columns with the base of their types, the columns of unique indexes, and whether the table is known to be large: rows of different length.
fn query(name: &str) -> String {
    let table = format!("to_regclass({})", literal(name));
    format!(
        "WITH RECURSIVE base (attnum, oid, modifier, depth) AS (
           SELECT attnum, atttypid, atttypmod, 0 FROM pg_attribute
             WHERE attrelid = {table} AND attnum > 0 AND NOT attisdropped
           UNION ALL SELECT b.attnum, t.typbasetype, t.typtypmod, b.depth + 1 FROM base b JOIN pg_type t ON t.oid = b.oid
             WHERE t.typtype = 'd'),
         own_equality AS (
           SELECT DISTINCT ON (o.opcintype) o.opcintype AS type, n.nspname, p.oprname FROM pg_opclass o
             JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'btree'
             JOIN pg_amop s ON s.amopfamily = o.opcfamily AND s.amoplefttype = o.opcintype
               AND s.amoprighttype = o.opcintype AND s.amopstrategy = 3
             JOIN pg_operator p ON p.oid = s.amopopr JOIN pg_namespace n ON n.oid = p.oprnamespace
             WHERE o.opcdefault ORDER BY o.opcintype)
         SELECT a.attname, format_type(b.oid, b.modifier), b.depth > 0, b.oid, t.typtype, r.proname, a.attidentity,
           a.attgenerated, coalesce(c.collisdeterministic, true), e.nspname, e.oprname,
           t.typarray, format_type(b.oid, -1)
         FROM base b JOIN pg_type t ON t.oid = b.oid AND t.typtype <> 'd'
           JOIN pg_attribute a ON a.attrelid = {table} AND a.attnum = b.attnum
           LEFT JOIN pg_proc r ON r.oid = t.typreceive LEFT JOIN pg_collation c ON c.oid = a.attcollation
           LEFT JOIN own_equality e ON e.type = b.oid
         ORDER BY a.attnum;
         SELECT i.indexrelid, a.attname, n.nspname, p.oprname
         FROM pg_index i CROSS JOIN unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS k (attnum, opclass, place)
           JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
           JOIN pg_opclass o ON o.oid = k.opclass
           JOIN pg_amop s ON s.amopfamily = o.opcfamily AND s.amoplefttype = o.opcintype
             AND s.amoprighttype = o.opcintype AND s.amopstrategy = 3
           JOIN pg_operator p ON p.oid = s.amopopr JOIN pg_namespace n ON n.oid = p.oprnamespace
         WHERE i.indrelid = {table} AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
           AND k.place <= i.indnkeyatts
         ORDER BY i.indisprimary DESC, i.indexrelid, k.place;
         SELECT relkind <> 'p' AND reltuples >= {LARGE_ROWS}, relkind = 'r',
           (SELECT min(k.conrelid::regclass::text) FROM pg_constraint k
            WHERE k.contype = 'f' AND k.confrelid = {table} AND k.confdeltype IN ('c', 'n', 'd') AND EXISTS (
              SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgrelid = k.confrelid AND t.tgenabled IN (
                'A', CASE current_setting('session_replication_role') WHEN 'replica' THEN 'R' ELSE 'O' END)))
         FROM pg_class WHERE oid = {table}"
    )
}

const COLUMN_FIELDS: usize = 13;
const INDEX_FIELDS: usize = 4;
/// Of a table of which the server knows so many rows it does not think that going through all of them costs nothing, whatever becomes of it in a batch or two.
const LARGE_ROWS: u32 = 10_000;

/// `text` and `text[]`.
pub(super) const TEXT_OID: u32 = 25;
const TEXTS_OID: u32 = 1009;

impl Shape {
    /// Reads the catalog. A table that is not there gives no error of the server, which would end the open transaction.
    pub(super) async fn read(
        connection: &mut Connection,
        table: &TargetTable,
        number: u32,
    ) -> Result<Self, Error> {
        let name = quote::table(&table.name);
        let rows = connection.query(&query(&name)).await;
        let rows =
            rows.map_err(|error| of_table(error, &table.source.name, "read the columns of"))?;
        let (columns, others): (Vec<TextRow>, Vec<TextRow>) =
            rows.into_iter().partition(|row| row.len() == COLUMN_FIELDS);
        let (indexes, size): (Vec<TextRow>, Vec<TextRow>) = others
            .into_iter()
            .partition(|row| row.len() == INDEX_FIELDS);
        if columns.is_empty() && !table.columns.is_empty() {
            return Err(Error::table(
                &table.source.name,
                format!(
                    "the target table {} does not exist; load the table again",
                    table.name
                ),
            ));
        }
        // Of a partitioned table all rows are those of its partitions.
        let is_ordinary = size.first().is_some_and(|row| field(row, 1) == "t");
        let mut shape = Self {
            number,
            table: table.clone(),
            only: if is_ordinary {
                format!("ONLY {name}")
            } else {
                name.clone()
            },
            name,
            columns: Vec::with_capacity(table.columns.len()),
            others: Vec::new(),
            taken_along: size.first().and_then(|row| row.get(2)?.clone()),
            has_key_index: false,
            looked_up: Vec::new(),
            is_text: false,
        };
        shape.take_columns(&columns, connection)?;
        shape.is_text = shape
            .columns
            .iter()
            .any(|column| column.actual.is_text_only);
        let is_large = size.first().is_some_and(|row| field(row, 0) == "t");
        // Older servers may leave such conditions of further columns out of the lookup.
        let elements = match connection.major_version() {
            _ if is_large => 0,
            17.. => usize::MAX,
            _ => 1,
        };
        shape.take_key_index(&indexes, elements);
        Ok(shape)
    }

    fn take_columns(&mut self, rows: &[TextRow], connection: &Connection) -> Result<(), Error> {
        let table = &self.table;
        for planned in &table.columns {
            let row = rows.iter().find(|row| field(row, 0) == planned.name);
            let complaint = match row {
                None => "has no such column; add it, or load the table again",
                Some(row) if !field(row, 7).is_empty() => {
                    "computes it; make it an ordinary column, or leave it out with a transformation rule"
                }
                Some(row) => {
                    let mut column = ShapeColumn::read(row, connection);
                    column.actual = column.actual.for_source(&planned.source_type);
                    self.columns.push(column);
                    continue;
                }
            };
            let message = format!(
                "column {}: the target table {} {complaint}",
                planned.name, table.name
            );
            return Err(Error::table(&table.source.name, message));
        }
        let is_other = |row: &&TextRow| {
            field(row, 7).is_empty()
                && !table
                    .columns
                    .iter()
                    .any(|planned| planned.name == field(row, 0))
        };
        self.others = rows
            .iter()
            .filter(is_other)
            .map(|row| identifier(field(row, 0)))
            .collect();
        Ok(())
    }

    /// Takes the equality of the first unique index whose columns are all in the key; so many of them, from the first on, are looked up as elements.
    fn take_key_index(&mut self, rows: &[TextRow], elements: usize) {
        let key: HashSet<String> = self
            .table
            .primary_key
            .iter()
            .map(|&column| self.columns[column].name.clone())
            .collect();
        let index = rows.chunk_by(|a, b| a[0] == b[0]).find(|index| {
            index
                .iter()
                .all(|row| key.contains(&identifier(field(row, 1))))
        });
        let Some(index) = index else { return };
        self.has_key_index = true;
        for (place, row) in index.iter().enumerate() {
            let name = identifier(field(row, 1));
            let found = self.columns.iter().position(|column| column.name == name);
            let Some(found) = found else { continue };
            self.columns[found].equals = operator(field(row, 2), field(row, 3));
            if place < elements && !self.columns[found].is_passed_as_text {
                self.looked_up.push(found);
            }
        }
    }

    /// Whether the table is still planned as it was.
    pub(super) fn is_of(&self, table: &TargetTable) -> bool {
        self.table.columns == table.columns
            && self.table.primary_key == table.primary_key
            && self.table.source.name == table.source.name
    }

    /// Refuses to set columns if that takes the row out and puts it in again, and rows of other tables would go with it.
    pub(super) fn check_set(&self, columns: impl IntoIterator<Item = usize>) -> Result<(), Error> {
        let Some(child) = &self.taken_along else {
            return Ok(());
        };
        let mut columns = columns.into_iter().map(|column| &self.columns[column]);
        let Some(column) = columns.find(|column| column.is_always_identity) else {
            return Ok(());
        };
        let (name, table) = (&column.name, &self.name);
        let message = format!(
            "column {name} is GENERATED ALWAYS at the target, so that a change of it deletes its row and inserts it again, and a foreign key of {child} would change rows there; run ALTER TABLE {table} ALTER COLUMN {name} SET GENERATED BY DEFAULT at the target until the cut-over"
        );
        Err(Error::table(&self.table.source.name, message))
    }

    /// A quoted name that no column has.
    pub(super) fn free_name(&self, name: &str) -> String {
        let mut name = name.to_owned();
        while self
            .columns
            .iter()
            .any(|column| column.name == identifier(&name))
        {
            name.push('_');
        }
        identifier(&name)
    }

    pub(super) fn is_key(&self, column: usize) -> bool {
        self.table.primary_key.contains(&column)
    }
}

impl ShapeColumn {
    fn read(row: &TextRow, connection: &Connection) -> Self {
        let mut actual = ActualColumn::new(field(row, 1).to_owned(), connection);
        // Types whose binary form is their text.
        if matches!(field(row, 5), "enum_recv" | "citextrecv") {
            actual.wire = WireType::Text;
            actual.is_text_only = false;
        }
        let oid = field(row, 3).parse().unwrap_or(0);
        let array_oid = field(row, 11).parse().unwrap_or(0);
        let is_passed_as_text = actual.is_text_only || array_oid == 0;
        Self {
            name: identifier(field(row, 0)),
            actual,
            is_domain: field(row, 2) == "t",
            oid,
            array_oid: if is_passed_as_text {
                TEXTS_OID
            } else {
                array_oid
            },
            base: field(row, 12).to_owned(),
            is_passed_as_text,
            equals: match field(row, 10) {
                "" => operator("pg_catalog", "="),
                name => operator(field(row, 9), name),
            },
            sameness: sameness(oid, field(row, 4) == "e", field(row, 8) == "t"),
            is_always_identity: field(row, 6) == "a",
        }
    }
}

/// OIDs of built-in types never change.
fn sameness(oid: u32, is_enum: bool, is_deterministic: bool) -> Sameness {
    match oid {
        // bool, bytea, int8, int2, int4, oid, date, time, timestamp, timestamptz, uuid
        16 | 17 | 20 | 21 | 23 | 26 | 1082 | 1083 | 1114 | 1184 | 2950 => Sameness::Equality,
        // text, varchar
        25 | 1043 if is_deterministic => Sameness::Equality,
        // Texts and json, xml, numbers, intervals, timetz, bit strings, jsonb
        25 | 1043 | 1042 | 114 | 142 | 700 | 701 | 1700 | 1186 | 1266 | 1560 | 1562 | 3802 => {
            Sameness::Image
        }
        _ if is_enum => Sameness::Equality,
        _ => Sameness::Text,
    }
}

fn operator(schema: &str, name: &str) -> String {
    format!("OPERATOR({}.{name})", identifier(schema))
}

/// A field that the query never leaves NULL, or where NULL means the same as empty.
fn field(row: &TextRow, index: usize) -> &str {
    row.get(index)
        .and_then(Option::as_deref)
        .unwrap_or_default()
}
