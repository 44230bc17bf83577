/// How an index finds its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexMethod {
    /// In the order of the values: every engine has it.
    BTree,
    /// By equality only.
    Hash,
    /// Words of a text (`FULLTEXT`).
    FullText,
    /// Geometries (`SPATIAL`).
    Spatial,
    /// A method of one engine: `gin`, `gist`, `brin`.
    Other(String),
}

/// What an index is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexedValue {
    /// A column.
    Column(String),
    /// An expression in the SQL of the source's engine.
    Expression(String),
}

/// One part of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPart {
    /// The value.
    pub value: IndexedValue,
    /// Whether larger values come first.
    pub is_descending: bool,
    /// How many characters (bytes of a binary type) at the front of a value belong to the index; `None`: all.
    pub prefix: Option<u32>,
    /// What only the source's engine has: an operator class or a collation that is not the column's.
    pub peculiarity: Option<String>,
}

/// An index that is not the primary key's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// How it finds rows.
    pub method: IndexMethod,
    /// Whether no two rows may agree in it.
    pub is_unique: bool,
    /// Whether two NULLs agree.
    pub nulls_agree: bool,
    /// Its parts, in order.
    pub parts: Vec<IndexPart>,
    /// Columns that are kept in it without being searched.
    pub included: Vec<String>,
    /// The condition that rows in it meet, in the SQL of the source's engine.
    pub predicate: Option<String>,
    /// For a constraint that the index serves: its whole definition in the SQL of the source's engine (`UNIQUE (a) DEFERRABLE`).
    pub constraint: Option<String>,
    /// What follows the table's name in the statement that makes it on the same engine; `None` where it is put together from the parts.
    pub native: Option<String>,
    /// Whether the server passes over it when it looks for a way to read the table.
    pub is_ignored: bool,
}

impl Index {
    /// The columns, where it is made of nothing else.
    pub fn columns(&self) -> Option<Vec<&str>> {
        fn column(part: &IndexPart) -> Option<&str> {
            match &part.value {
                IndexedValue::Column(name) if part.prefix.is_none() => Some(name),
                IndexedValue::Column(_) | IndexedValue::Expression(_) => None,
            }
        }
        self.parts.iter().map(column).collect()
    }
}
