//! Mistakes that can be made on purpose, to show that the tests find them.
//!
//! A build with the feature `faults` that finds `WHIMBREL_MUTATION=name` in its environment makes the mistake. Without the feature, and
//! in a release build whatever its features, none can be made.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A worker that was replaced may write: nobody looks at the epoch, nor ends its sessions.
    NoEpochCheck,
    /// The source hears that changes are applied before they are committed.
    ConfirmBeforeCommit,
    /// The log is read on from the later of two positions, instead of from the earlier.
    LaterPosition,
    /// A cell that the source did not send is taken for NULL.
    NotSentIsNull,
    /// Rows are committed at the target without the checkpoint that tells of them, so they are applied again.
    FirstCheckpointStays,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::NoEpochCheck,
        Self::ConfirmBeforeCommit,
        Self::LaterPosition,
        Self::NotSentIsNull,
        Self::FirstCheckpointStays,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoEpochCheck => "no-epoch-check",
            Self::ConfirmBeforeCommit => "confirm-before-commit",
            Self::LaterPosition => "later-position",
            Self::NotSentIsNull => "not-sent-is-null",
            Self::FirstCheckpointStays => "first-checkpoint-stays",
        }
    }

    /// Whether it is to be made.
    #[cfg(all(feature = "faults", debug_assertions))]
    pub fn is_on(self) -> bool {
        static WANTED: std::sync::LazyLock<Option<Mutation>> = std::sync::LazyLock::new(|| {
            let name = std::env::var("WHIMBREL_MUTATION").ok()?;
            let known = Mutation::ALL.into_iter().find(|it| it.name() == name);
            Some(known.unwrap_or_else(|| panic!("WHIMBREL_MUTATION={name} is none")))
        });
        *WANTED == Some(self)
    }

    /// Never.
    #[cfg(not(all(feature = "faults", debug_assertions)))]
    #[inline]
    pub const fn is_on(self) -> bool {
        false
    }
}
