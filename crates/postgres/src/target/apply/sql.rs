//! The statements that apply changes. `t` is the target table, `s` the rows of a batch, `f` the one row that was found.

use super::shape::{Sameness, Shape, ShapeColumn};

/// A statement and what its parameters are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: String,
    /// The column of each parameter. The first `set_count` are of the new row, the others of the row to be found.
    pub(super) parameters: Vec<usize>,
    pub(super) set_count: usize,
    /// The type of each parameter.
    pub(super) types: Vec<u32>,
}

impl Statement {
    fn new(shape: &Shape, sql: String, parameters: Parameters, set_count: usize) -> Self {
        let types = parameters.0.iter().map(|&column| shape.columns[column].oid);
        Self {
            sql,
            types: types.collect(),
            parameters: parameters.0,
            set_count,
        }
    }
}

/// Collects parameters while a statement is written.
#[derive(Default)]
struct Parameters(Vec<usize>);

impl Parameters {
    fn push(&mut self, column: usize) -> String {
        self.0.push(column);
        format!("${}", self.0.len())
    }
}

fn join(parts: impl IntoIterator<Item = String>, between: &str) -> String {
    parts.into_iter().collect::<Vec<_>>().join(between)
}

/// Which row a statement is about.
struct Found {
    /// Joined to the table; may be empty.
    from: String,
    condition: String,
}

/// How a row without a key is told from others: all cells that were sent.
pub(super) struct WholeRow<'a> {
    pub(super) columns: &'a [usize],
    /// Those of them that are NULL.
    pub(super) nulls: &'a [usize],
}

fn by_key(shape: &Shape, parameters: &mut Parameters) -> Found {
    let of_column = |&column: &usize| {
        let ShapeColumn { name, equals, .. } = &shape.columns[column];
        format!("t.{name} {equals} {}", parameters.push(column))
    };
    Found {
        from: String::new(),
        condition: join(shape.table.primary_key.iter().map(of_column), " AND "),
    }
}

/// Exactly one of the rows that are the same.
fn by_whole_row(shape: &Shape, row: &WholeRow<'_>, parameters: &mut Parameters) -> Found {
    let mut conditions = Vec::new();
    // Images are compared last: that needs the whole row.
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for &column in row.columns {
        let ShapeColumn {
            name,
            equals,
            actual,
            sameness,
            is_domain,
            ..
        } = &shape.columns[column];
        match sameness {
            Sameness::Equality if row.nulls.contains(&column) => {
                conditions.push(format!("w.{name} IS NULL"));
            }
            Sameness::Equality => {
                conditions.push(format!("w.{name} {equals} {}", parameters.push(column)));
            }
            Sameness::Text => conditions.push(format!(
                "w.{name}::text COLLATE pg_catalog.\"C\" IS NOT DISTINCT FROM {}::{}::text",
                parameters.push(column),
                actual.native
            )),
            Sameness::Image => {
                let base = if *is_domain {
                    format!("::{}", actual.native)
                } else {
                    String::new()
                };
                ours.push(format!("w.{name}{base}"));
                theirs.push(format!("{}::{}", parameters.push(column), actual.native));
            }
        }
    }
    if !ours.is_empty() {
        let (ours, theirs) = (ours.join(", "), theirs.join(", "));
        conditions.push(format!(
            "ROW({ours})::record OPERATOR(pg_catalog.*=) ROW({theirs})"
        ));
    }
    if conditions.is_empty() {
        conditions.push("true".to_owned());
    }
    Found {
        from: format!(
            "(SELECT w.tableoid AS o, w.ctid AS c FROM {} AS w WHERE {} LIMIT 1) AS f",
            shape.only,
            conditions.join(" AND ")
        ),
        condition: "t.ctid = f.c AND t.tableoid = f.o".to_owned(),
    }
}

fn found(shape: &Shape, row: Option<&WholeRow<'_>>, parameters: &mut Parameters) -> Found {
    match row {
        None => by_key(shape, parameters),
        Some(row) => by_whole_row(shape, row, parameters),
    }
}

/// ` USING f`, or nothing.
fn joined(word: &str, from: &str) -> String {
    if from.is_empty() {
        String::new()
    } else {
        format!(" {word} {from}")
    }
}

pub(super) fn insert(shape: &Shape) -> Statement {
    let mut parameters = Parameters::default();
    let sql = if shape.columns.is_empty() {
        format!("INSERT INTO {} DEFAULT VALUES", shape.name)
    } else {
        let names = join(shape.columns.iter().map(|column| column.name.clone()), ", ");
        let values = join(
            (0..shape.columns.len()).map(|column| parameters.push(column)),
            ", ",
        );
        format!(
            "INSERT INTO {} ({names}) OVERRIDING SYSTEM VALUE VALUES ({values})",
            shape.name
        )
    };
    let set_count = parameters.0.len();
    Statement::new(shape, sql, parameters, set_count)
}

/// Deletes by key, or one row that is the same as `row`.
pub(super) fn delete(shape: &Shape, row: Option<&WholeRow<'_>>) -> Statement {
    let mut parameters = Parameters::default();
    let Found { from, condition } = found(shape, row, &mut parameters);
    let using = joined("USING", &from);
    let sql = format!("DELETE FROM {} AS t{using} WHERE {condition}", shape.only);
    Statement::new(shape, sql, parameters, 0)
}

/// Sets columns of the row with the key, or of one row that is the same as `row`.
pub(super) fn update(shape: &Shape, set: &[usize], row: Option<&WholeRow<'_>>) -> Statement {
    let mut parameters = Parameters::default();
    let values: Vec<(usize, String)> = set
        .iter()
        .map(|&column| (column, parameters.push(column)))
        .collect();
    let found = found(shape, row, &mut parameters);
    let sql = set_sql(shape, &values, &found);
    Statement::new(shape, sql, parameters, set.len())
}

/// Sets columns to expressions, in rows that are found.
fn set_sql(shape: &Shape, values: &[(usize, String)], found: &Found) -> String {
    let Found { from, condition } = found;
    let table = &shape.only;
    if values.is_empty() {
        let list = if from.is_empty() {
            String::new()
        } else {
            format!(", {from}")
        };
        return format!("SELECT FROM {table} AS t{list} WHERE {condition}");
    }
    if values
        .iter()
        .any(|(column, _)| shape.columns[*column].is_always_identity)
    {
        return replace_sql(shape, values, found);
    }
    let list = values
        .iter()
        .map(|(column, value)| format!("{} = {value}", shape.columns[*column].name));
    let list = join(list, ", ");
    format!(
        "UPDATE {table} AS t SET {list}{} WHERE {condition}",
        joined("FROM", from)
    )
}

/// An UPDATE cannot set a column that is always an identity, so the row is taken out and put in again.
fn replace_sql(shape: &Shape, values: &[(usize, String)], found: &Found) -> String {
    let Found { from, condition } = found;
    let (table, only) = (&shape.name, &shape.only);
    let mut names: Vec<&str> = shape
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    names.extend(shape.others.iter().map(String::as_str));
    let new = names.iter().enumerate().map(|(index, name)| {
        let value = values.iter().find(|(column, _)| *column == index);
        value.map_or_else(|| format!("t.{name}"), |(_, value)| value.clone())
    });
    let new = join(
        new.enumerate()
            .map(|(index, value)| format!("{value} AS c{index}")),
        ", ",
    );
    let using = joined("USING", from);
    let columns = join((0..names.len()).map(|index| format!("c{index}")), ", ");
    let names = names.join(", ");
    format!(
        "WITH gone AS (DELETE FROM {only} AS t{using} WHERE {condition} RETURNING {new}) \
         INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM gone"
    )
}

/// `bytea[]`.
const MASKS_OID: u32 = 1001;

/// The rows of a batch: an array for each of the columns, and one of masks.
///
/// They come in the order of the key where sorting by it is cheap: then neighbours in the index and in the table are visited one
/// after another, which halves the time of changes to keys from all over a table.
fn batch(shape: &Shape, columns: &[usize], mask: Option<&str>) -> Found {
    let names = columns
        .iter()
        .map(|&column| shape.columns[column].name.as_str());
    let names: Vec<&str> = names.chain(mask).collect();
    let arrays = join((1..=names.len()).map(|number| format!("${number}")), ", ");
    let values = columns.iter().map(|&column| {
        let ShapeColumn {
            name,
            base,
            is_passed_as_text,
            ..
        } = &shape.columns[column];
        if *is_passed_as_text {
            format!("s.{name}::{base} AS {name}")
        } else {
            format!("s.{name}")
        }
    });
    let values = join(values.chain(mask.map(|mask| format!("s.{mask}"))), ", ");
    let key = || {
        shape
            .table
            .primary_key
            .iter()
            .map(|&column| &shape.columns[column])
    };
    let order = key().take_while(|column| column.is_sorted_fast());
    let order = join(order.map(|column| format!("s.{}", column.name)), ", ");
    let order = if order.is_empty() {
        order
    } else {
        format!(" ORDER BY {order}")
    };
    let equal = shape.table.primary_key.iter().map(|column| {
        let ShapeColumn { name, equals, .. } = &shape.columns[*column];
        if shape.looked_up.contains(column) {
            format!("t.{name} {equals} ANY (ARRAY[s.{name}])")
        } else {
            format!("t.{name} {equals} s.{name}")
        }
    });
    Found {
        from: format!(
            "(SELECT {values} FROM unnest({arrays}) AS s ({}){order}) AS s",
            names.join(", ")
        ),
        condition: join(equal, " AND "),
    }
}

fn batch_statement(
    shape: &Shape,
    sql: String,
    parameters: Vec<usize>,
    mask: Option<&str>,
) -> Statement {
    let types = parameters
        .iter()
        .map(|&column| shape.columns[column].array_oid);
    let types = types.chain(mask.map(|_| MASKS_OID)).collect();
    Statement {
        sql,
        parameters,
        set_count: 0,
        types,
    }
}

/// Deletes the rows with the keys of a batch.
pub(super) fn net_delete(shape: &Shape) -> Statement {
    let key = shape.table.primary_key.clone();
    let Found { from, condition } = batch(shape, &key, None);
    let sql = format!(
        "DELETE FROM {} AS t USING {from} WHERE {condition}",
        shape.only
    );
    batch_statement(shape, sql, key, None)
}

/// Updates from rows that are whole.
pub(super) fn net_update(shape: &Shape) -> Statement {
    let all: Vec<usize> = (0..shape.columns.len()).collect();
    let values: Vec<_> = all
        .iter()
        .filter(|&&column| !shape.is_key(column))
        .map(|&column| (column, format!("s.{}", shape.columns[column].name)))
        .collect();
    let sql = set_sql(shape, &values, &batch(shape, &all, None));
    batch_statement(shape, sql, all, None)
}

/// Updates from rows that lack cells: bit `n` of the mask says that column `n` was sent. One statement serves all masks; a column
/// that is set to what it holds keeps even its stored form.
pub(super) fn net_update_masked(shape: &Shape) -> Statement {
    let all: Vec<usize> = (0..shape.columns.len()).collect();
    let mask = shape.free_name("awsdms_mask");
    let values: Vec<_> = all
        .iter()
        .filter(|&&column| !shape.is_key(column))
        .map(|&column| {
            let name = &shape.columns[column].name;
            let value = format!(
                "CASE WHEN get_bit(s.{mask}, {column}) = 1 THEN s.{name} ELSE t.{name} END"
            );
            (column, value)
        })
        .collect();
    let sql = set_sql(shape, &values, &batch(shape, &all, Some(&mask)));
    batch_statement(shape, sql, all, Some(&mask))
}

pub(super) fn copy_table(shape: &Shape) -> String {
    // An empty list is no SQL; without a list the same columns are meant.
    let list = if shape.columns.is_empty() {
        String::new()
    } else {
        format!(
            " ({})",
            join(shape.columns.iter().map(|column| column.name.clone()), ", ")
        )
    };
    format!(
        "COPY {}{list} FROM STDIN (FORMAT {})",
        shape.name,
        format_name(shape)
    )
}

fn format_name(shape: &Shape) -> &'static str {
    if shape.is_text { "text" } else { "binary" }
}
