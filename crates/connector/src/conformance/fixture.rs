use super::Change;
use crate::memory::{Cell, Row};

/// What a column of a fixture holds. A harness names a type of its engine for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers of 64 bits.
    Int,
    /// Text of at most 60 characters, which may be part of a key.
    Name,
    /// Text of at least a megabyte.
    Text,
}

/// A column of a fixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixtureColumn {
    /// Its name, to be quoted.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether NULL is allowed.
    pub nullable: bool,
}

/// A table with rows that the checks are about.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// Its name, to be quoted.
    pub name: &'static str,
    /// Its columns in order.
    pub columns: Vec<FixtureColumn>,
    /// Names of the columns of its primary key, in key order; empty without a key.
    pub key: &'static [&'static str],
    /// Its rows.
    pub rows: Vec<Row>,
}

impl Fixture {
    fn new(
        name: &'static str,
        columns: &[(&'static str, Kind, bool)],
        key: &'static [&'static str],
        rows: Vec<Row>,
    ) -> Self {
        let columns = columns.iter().map(|&(name, kind, nullable)| FixtureColumn {
            name,
            kind,
            nullable,
        });
        Self {
            name,
            columns: columns.collect(),
            key,
            rows,
        }
    }

    /// The changes that make the table with its rows.
    pub(super) fn made(&self) -> [Change<'_>; 2] {
        [Change::Create(self), Change::Insert(self.name, &self.rows)]
    }

    /// The rows in the order in which the checks compare them.
    pub(super) fn sorted(&self) -> Vec<Row> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }

    /// Another table of the same rows.
    pub(super) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

const ID_AND_NOTE: &[(&str, Kind, bool)] = &[("id", Kind::Int, false), ("note", Kind::Text, true)];

/// No rows.
pub(super) fn empty() -> Fixture {
    Fixture::new("empty", ID_AND_NOTE, &["id"], Vec::new())
}

/// One row.
pub(super) fn one_row() -> Fixture {
    let rows = vec![vec![Cell::Int(7), text("only")]];
    Fixture::new("one_row", ID_AND_NOTE, &["id"], rows)
}

/// Some 250 bytes in each of 480 rows, so that there are several chunks of 16 KiB; the keys have gaps.
pub(super) fn many_rows() -> Fixture {
    let rows = (0..480).map(|n| vec![Cell::Int(n * 3 - 200), text(format!("{n:0>230}"))]);
    Fixture::new("many_rows", ID_AND_NOTE, &["id"], rows.collect())
}

/// A key of text and number, whose order is not that of the columns.
pub(super) fn composite_key() -> Fixture {
    let rows = (0..300).map(|n| {
        let tenant =
            ["acme", "Émile", "z", "10"][usize::from(n % 7 == 0) + usize::from(n % 3 == 0)];
        vec![Cell::Int(n), text(tenant), text(format!("{n:0>150}"))]
    });
    let columns = [
        ("number", Kind::Int, false),
        ("tenant", Kind::Name, false),
        ("note", Kind::Text, true),
    ];
    Fixture::new(
        "composite_key",
        &columns,
        &["tenant", "number"],
        rows.collect(),
    )
}

/// No key, and every row there twice.
pub(super) fn no_key() -> Fixture {
    let rows = (0..120).map(|n| vec![Cell::Int(n / 2), text(format!("{:0>200}", n / 2))]);
    let columns = [("n", Kind::Int, true), ("note", Kind::Text, true)];
    Fixture::new("no_key", &columns, &[], rows.collect())
}

/// NULL in every column, beside texts that a careless writer takes for NULL or for the end of something.
pub(super) fn nulls() -> Fixture {
    let null = || Cell::Null;
    let odd = [
        "",
        "NULL",
        "\\N",
        "\\",
        "'\"`",
        "a\tb\nc\r\nd",
        "\u{1f426} ü",
        "\\.",
        " x ",
    ];
    let mut rows = vec![
        vec![null(), null(), null()],
        vec![Cell::Int(0), null(), null()],
        vec![null(), text(""), null()],
        vec![null(), null(), text("")],
    ];
    rows.extend(
        (1..)
            .zip(odd)
            .map(|(n, odd)| vec![Cell::Int(n), text(odd), text(odd)]),
    );
    let columns = [
        ("a", Kind::Int, true),
        ("b", Kind::Name, true),
        ("c", Kind::Text, true),
    ];
    Fixture::new("nulls", &columns, &[], rows)
}

/// Names that only quoting can bring through.
pub(super) fn odd_names() -> Fixture {
    let rows = (0..5).map(|n| vec![Cell::Int(n), text("x"), Cell::Null, Cell::Int(-n)]);
    let columns = [
        ("Select", Kind::Int, false),
        ("a b", Kind::Name, false),
        ("it's \"quoted\" `so`", Kind::Text, true),
        ("ünï;--", Kind::Int, true),
    ];
    Fixture::new(
        "Order \"by\" `it's` Größe",
        &columns,
        &["a b", "Select"],
        rows.collect(),
    )
}

/// Bytes that the long texts in [`wide_rows`] have at least: a cell of as many may be cut.
pub(super) const WIDE_BYTES: usize = 70_000;

/// Small rows with some between them that are far larger than a block of a few kilobytes: a long text of characters of every length, and of such
/// that are escaped, and behind it cells that a careless writer takes for its end.
pub(super) fn wide_rows() -> Fixture {
    const SOME: &str = "wü€😀\\\t\n\\N";
    let rows = (0..12).map(|n| {
        let length = if n % 4 == 2 { WIDE_BYTES } else { 10 };
        // Repetitive text would be compressed by the server, but not on its way.
        let note = SOME.repeat(length.div_ceil(SOME.len()));
        vec![Cell::Int(n), text(note), Cell::Null, text("")]
    });
    let columns = [
        ("id", Kind::Int, false),
        ("note", Kind::Text, true),
        ("nothing", Kind::Text, true),
        ("blank", Kind::Text, true),
    ];
    Fixture::new("wide_rows", &columns, &["id"], rows.collect())
}

/// Rows whose `id` is there twice, in a table without a key.
pub(super) fn duplicates() -> Fixture {
    let rows = [1, 2, 3, 2].map(|id| vec![Cell::Int(id), Cell::Null]);
    Fixture::new("duplicates", ID_AND_NOTE, &[], rows.to_vec())
}

/// A table of each shape.
pub(super) fn all() -> Vec<Fixture> {
    vec![
        wide_rows(),
        empty(),
        one_row(),
        many_rows(),
        composite_key(),
        no_key(),
        nulls(),
        odd_names(),
    ]
}

/// Rows that fit into tables of [`ID_AND_NOTE`] beside those of every fixture.
pub(super) fn later_rows() -> Vec<Row> {
    (0..100)
        .map(|n| vec![Cell::Int(1_000_000 + n), text(format!("late {n:0>230}"))])
        .collect()
}
