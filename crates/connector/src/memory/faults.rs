use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// The calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// Connecting to test the connection.
    Check,
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
    /// Beginning anew with the task.
    Clear,
    /// Removing the records of tables that are loaded again.
    Unrecord,
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
    /// Making foreign keys again that were put aside.
    RestoreKeys,
    /// Removing the record.
    Forget,
    /// Having the log kept.
    LogPrepare,
    /// Opening a stream.
    LogOpen,
    /// Giving up what keeps the log.
    LogRemove,
    /// Looking after the log that is kept.
    LogLook,
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
    /// Looking at rows by their keys.
    Lookup,
}

impl Call {
    /// All calls of a full load.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Tables,
        Self::Snapshot,
        Self::Plan,
        Self::Open,
        Self::Next,
        Self::Claim,
        Self::Clear,
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
    /// Of this kind of call, so many succeed and so many fail in turn.
    in_turn: Option<(Call, u32, u32)>,
    /// Before the nth call.
    meanwhile: Option<(Call, u32, Meanwhile)>,
    /// Before the nth call, which is never answered.
    hung: Option<(Call, u32, Meanwhile)>,
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

    /// Of this kind of call, `good` succeed, then `bad` lose their connection, and so on.
    pub fn in_turn(call: Call, good: u32, bad: u32) -> Self {
        let faults = Self::default();
        faults.lock().in_turn = Some((call, good, bad));
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

    /// The nth call of this kind (from 1) is never answered: it waits for what somebody else has locked. Something happens right before.
    /// Of connecting, of the calls before a table's rows and of those behind them, of those that read or remove the record, and of those that keep
    /// or open the log or commit changes.
    #[must_use]
    pub fn and_hung(self, call: Call, nth: u32, happens: impl FnOnce() + Send + 'static) -> Self {
        self.lock().hung = Some((call, nth, Box::new(happens)));
        self
    }

    /// Waits for ever where that is planned for the call that comes next.
    pub(super) async fn hang(&self, call: Call) {
        let nth = self.count(call) + 1;
        let is_next =
            |(planned, at, _): &mut (Call, u32, Meanwhile)| *planned == call && *at == nth;
        let hung = self.lock().hung.take_if(is_next);
        if let Some((_, _, happens)) = hung {
            happens();
            std::future::pending::<()>().await;
        }
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
        if let Some((planned, good, bad)) = plan.in_turn
            && planned == call
            && (nth - 1) % (good + bad) >= good
        {
            plan.struck += 1;
            return Some(When::Before);
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
