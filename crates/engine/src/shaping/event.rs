//! What rules can ask of a row beside its cells: which change it came by.

use std::sync::{Arc, OnceLock};

use whimbrel_core::Value;

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It was there before changes were followed, or is compared.
    Load,
    Insert,
    Update,
    Delete,
}

impl Operation {
    /// `$AR_H_OPERATION`
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Load | Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A row's change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) operation: Operation,
    /// The row before an update, as far as the log tells it; `None`: no more than that its key is as it was.
    pub(crate) before: Option<&'a [Value<'a>]>,
    /// `None`: a load.
    pub(crate) change: Option<&'a ChangeOrigin>,
}

impl Event<'static> {
    pub(crate) const LOAD: Self = Self {
        operation: Operation::Load,
        before: None,
        change: None,
    };
}

impl Event<'_> {
    /// Whether it is a change whose commit is not known.
    pub(super) fn awaits_commit(&self) -> bool {
        self.change
            .is_some_and(|change| change.commit.get().is_none())
    }
}

/// Where a change stands in the log.
#[derive(Clone, Debug)]
pub(crate) struct ChangeOrigin {
    /// Counts the changes of a run.
    pub(crate) number: u64,
    pub(crate) commit: Arc<OnceLock<CommitPoint>>,
}

/// The commit of a transaction: known once it is told.
#[derive(Clone, Debug)]
pub(crate) struct CommitPoint {
    /// In the notation of the source's log.
    pub(crate) position: String,
    /// By the source's clock, in microseconds since 1970.
    pub(crate) committed_at_us: i64,
}
