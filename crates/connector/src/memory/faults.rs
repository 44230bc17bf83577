use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// The calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// Connecting as source or target.
    Connect,
    /// Reading the catalog.
    Tables,
    /// Opening a snapshot.
    Snapshot,
    /// Planning the chunks of a table.
    Plan,
    /// Opening a chunk to read.
    Open,
    /// Reading a block.
    Next,
    /// Claiming the task.
    Claim,
    /// Reading the record.
    LoadRecords,
    /// Preparing a table.
    Prepare,
    /// Opening a chunk to load.
    Begin,
    /// Writing a block.
    Write,
    /// Committing a chunk.
    Commit,
    /// Finishing a table.
    Finish,
    /// Removing the record.
    Forget,
    /// Having the log kept.
    LogPrepare,
    /// Opening a stream.
    LogOpen,
    /// Giving up what keeps the log.
    LogRemove,
    /// Reading a transaction of the log.
    StreamNext,
    /// Reading the checkpoint.
    Checkpoint,
    /// Opening a transaction for changes.
    ApplyBegin,
    /// Applying changes.
    Apply,
    /// Changing a definition.
    Define,
    /// Writing down what becomes of tables.
    Record,
    /// Committing changes with the checkpoint.
    ApplyCommit,
    /// Writing a table that users read.
    WriteControl,
}

impl Call {
    /// All calls of a full load.
    pub const ALL: [Self; 14] = [
        Self::Connect,
        Self::Tables,
        Self::Snapshot,
        Self::Plan,
        Self::Open,
        Self::Next,
        Self::Claim,
        Self::LoadRecords,
        Self::Prepare,
        Self::Begin,
        Self::Write,
        Self::Commit,
        Self::Finish,
        Self::Forget,
    ];

    /// The calls that only a run makes that follows its source.
    pub const OF_CDC: [Self; 10] = [
        Self::LogPrepare,
        Self::LogOpen,
        Self::LogRemove,
        Self::StreamNext,
        Self::Checkpoint,
        Self::ApplyBegin,
        Self::Apply,
        Self::Define,
        Self::Record,
        Self::ApplyCommit,
    ];
}

/// Whether a fault strikes before the call had its effect, or after: the answer is lost then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing happened.
    Before,
    /// It happened, and the caller does not learn so.
    After,
}

/// What happens to the databases at a call, by somebody else's hand.
type Meanwhile = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Plan {
    counts: HashMap<Call, u32>,
    /// From the nth call on, this many calls fail.
    planned: Option<(Call, u32, When, u32)>,
    /// Before the nth call.
    meanwhile: Option<(Call, u32, Meanwhile)>,
    struck: u32,
}

/// Which calls fail. Clones share the plan.
#[derive(Clone, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.lock();
        f.debug_struct("Faults")
            .field("planned", &plan.planned)
            .field("struck", &plan.struck)
            .finish_non_exhaustive()
    }
}

impl Faults {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// The nth call of this kind (from 1) and the `count - 1` after it lose their connection.
    pub fn at(call: Call, nth: u32, when: When, count: u32) -> Self {
        let faults = Self::default();
        faults.lock().planned = Some((call, nth, when, count));
        faults
    }

    /// Something happens right before the nth call of this kind (from 1), and no call fails.
    pub fn meanwhile(call: Call, nth: u32, happens: impl FnOnce() + Send + 'static) -> Self {
        let faults = Self::default();
        faults.lock().meanwhile = Some((call, nth, Box::new(happens)));
        faults
    }

    /// The nth call of this kind (from 1) loses its connection, too.
    #[must_use]
    pub fn and_lost(self, call: Call, nth: u32) -> Self {
        self.lock().planned = Some((call, nth, When::Before, 1));
        self
    }

    /// How many calls have failed by plan.
    pub fn struck(&self) -> u32 {
        self.lock().struck
    }

    /// How often a call was made.
    pub fn count(&self, call: Call) -> u32 {
        self.lock().counts.get(&call).copied().unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strikes(&self, call: Call) -> Option<When> {
        let mut plan = self.lock();
        let count = plan.counts.entry(call).or_default();
        *count += 1;
        let nth = *count;
        if let Some((_, _, happens)) = plan
            .meanwhile
            .take_if(|(planned, at, _)| *planned == call && *at == nth)
        {
            happens();
        }
        match plan.planned {
            Some((planned, first, when, count))
                if planned == call && (first..first + count).contains(&nth) =>
            {
                plan.struck += 1;
                Some(when)
            }
            _ => None,
        }
    }

    /// Runs a call's effect with the faults planned for it.
    pub(super) fn around<T>(
        &self,
        call: Call,
        effect: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.strikes(call) {
            None => effect(),
            Some(When::Before) => Err(lost(call)),
            Some(When::After) => {
                effect()?;
                Err(lost(call))
            }
        }
    }
}

fn lost(call: Call) -> Error {
    Error::Transient(format!(
        "planned fault: the connection was lost at {call:?}"
    ))
}
