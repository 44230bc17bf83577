//! How far the comparison of a table is.

/// The state of one table's comparison; the texts are the API's. The validator sets all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ValidationState {
    /// Waits for its turn: until it is loaded, or until those before it are compared.
    #[default]
    PendingValidation,
    /// Both ends are being described.
    PreparingTable,
    /// Rows are being compared, or looked at again because they differed.
    PendingRecords,
    /// Both ends hold the same rows.
    Validated,
    /// Rows differ that have had their time to become equal.
    MismatchedRecords,
    /// Rows kept changing, so that nobody can tell whether they are equal.
    SuspendedRecords,
    /// Without a key rows cannot be told apart.
    NoPrimaryKey,
    /// The table is in error itself, or has more rows that differ than are wanted.
    TableError,
    /// It could not be compared.
    Error,
    /// Somebody asked for it to be compared again.
    PendingRevalidation,
}

impl ValidationState {
    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        match self {
            Self::Validated
            | Self::MismatchedRecords
            | Self::SuspendedRecords
            | Self::NoPrimaryKey
            | Self::TableError
            | Self::Error => true,
            Self::PendingValidation
            | Self::PreparingTable
            | Self::PendingRecords
            | Self::PendingRevalidation => false,
        }
    }

    /// Whether a later run need not compare the table again.
    pub fn is_kept(self) -> bool {
        match self {
            Self::Validated
            | Self::MismatchedRecords
            | Self::SuspendedRecords
            | Self::NoPrimaryKey => true,
            Self::TableError
            | Self::Error
            | Self::PendingValidation
            | Self::PreparingTable
            | Self::PendingRecords
            | Self::PendingRevalidation => false,
        }
    }
}

/// What is known of one table's comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableValidation {
    /// Where it is.
    pub state: ValidationState,
    /// Rows that are still to be compared or looked at again.
    pub pending: u64,
    /// Rows that differ.
    pub failed: u64,
    /// Rows that kept changing.
    pub suspended: u64,
    /// What a user should know.
    pub details: Option<String>,
    /// Requests for a comparison that were taken in this run.
    pub request_count: u32,
    /// How often the table had been loaded again when this was found out.
    pub reload_count: u32,
}
