use crate::TableName;

/// What becomes of rows that refer to one that goes or gets another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceAction {
    /// It must not, as seen at the end of the statement (or of the transaction, when deferred).
    NoAction,
    /// It must not, at once.
    Restrict,
    /// They go with it.
    Cascade,
    /// They refer to nothing.
    SetNull,
    /// They refer to what their defaults say.
    SetDefault,
}

impl ReferenceAction {
    /// In SQL, which is the same on every engine.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAction => "NO ACTION",
            Self::Restrict => "RESTRICT",
            Self::Cascade => "CASCADE",
            Self::SetNull => "SET NULL",
            Self::SetDefault => "SET DEFAULT",
        }
    }
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The table they refer to.
    pub referenced: TableName,
    /// Its columns, in the order of `columns`.
    pub referenced_columns: Vec<String>,
    /// When a row that is referred to goes.
    pub on_delete: ReferenceAction,
    /// When its key changes.
    pub on_update: ReferenceAction,
    /// The columns that `SET NULL` and `SET DEFAULT` change when a row goes; empty: all.
    pub on_delete_columns: Vec<String>,
    /// Whether a row with some NULLs among its columns is refused (`MATCH FULL`).
    pub matches_full: bool,
    /// When it is looked at: `DEFERRABLE INITIALLY DEFERRED` and the like in the SQL of its engine; `None`: at the end of each statement.
    pub deferral: Option<String>,
    /// Whether rows are held to it.
    pub is_enforced: bool,
    /// Whether the rows that were there when it was made were held to it.
    pub is_validated: bool,
}
