//! What a target keeps of a task that follows its source, beside the rows: the checkpoint, and the state of each table.
//!
//! A change is applied if and only if it lies past what the rows of its table hold: past the view under which they were loaded
//! ([`crate::SnapshotView`]), and past [`FollowState::applied_to`]. So tables may be loaded while others are followed, and the log be
//! read again from a place that some of them are past already.

use serde::{Deserialize, Serialize};
use whimbrel_core::objects::ObjectSelection;
use whimbrel_core::{Position, Table, TableName};

use crate::{Error, TargetTable};

/// Up to where the changes of a task are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything up to here.
    pub position: Position,
    /// Of the transaction behind it so many changes of rows, because its definitions cannot be changed within a transaction of the target.
    pub changes_applied: u64,
    /// The log is needed from here on, for tables that are being loaded meanwhile.
    pub kept_from: Option<Position>,
    /// Of the same transaction the definitions that were begun, in their order: the last of them may not be done.
    pub begun: Vec<Begun>,
}

/// A definition that a target which commits each by itself has begun to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The source's number for the table, if it has one.
    pub id: Option<u32>,
    /// The table at the target.
    pub table: TableName,
    /// What it is called afterwards, unless it is dropped.
    pub to: Option<TableName>,
}

const CHANGES: &str = "|changes=";
const KEPT_FROM: &str = "|kept=";
const BEGUN: &str = "|begun=";
const SUM: &str = "|sum=";

/// FNV-1a of 32 bits: no other byte in one place has the same sum.
fn sum(text: &str, task: &str) -> u32 {
    let mix = |sum: u32, byte: u8| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    // No byte of a text is this one.
    let bytes = text.bytes().chain([0xff]).chain(task.bytes());
    bytes.fold(0x811c_9dc5, mix)
}

impl Checkpoint {
    /// Everything up to a position, and nothing else.
    pub fn at(position: Position) -> Self {
        Self {
            position,
            changes_applied: 0,
            kept_from: None,
            begun: Vec::new(),
        }
    }

    /// Whether the target has whole transactions alone.
    pub fn is_whole(&self) -> bool {
        self.changes_applied == 0 && self.begun.is_empty()
    }

    /// As the control tables hold it: the position alone, as a rule, and a sum, also of the task's name, by which damage is seen and what
    /// belongs to another task.
    ///
    /// # Panics
    /// Never: names are texts.
    pub fn to_text(&self, task: &str) -> String {
        let changes = match self.changes_applied {
            0 => String::new(),
            changes => format!("{CHANGES}{changes}"),
        };
        let kept_from = self.kept_from.as_ref();
        let kept_from = kept_from.map_or_else(String::new, |from| format!("{KEPT_FROM}{from}"));
        let begun = match self.begun.as_slice() {
            [] => String::new(),
            begun => format!(
                "{BEGUN}{}",
                serde_json::to_string(begun).expect("names are texts")
            ),
        };
        let text = format!("{}{changes}{kept_from}{begun}", self.position);
        format!("{text}{SUM}{:08x}", sum(&text, task))
    }

    /// Reads [`Self::to_text`].
    ///
    /// # Errors
    /// [`Error::Fatal`] for anything else: it is never guessed what it may have been.
    pub fn parse(text: &str, task: &str) -> Result<Self, Error> {
        let broken = || {
            Error::Fatal(format!(
                "the checkpoint `{text}` at the target cannot be read, so that nobody knows which changes the rows hold; load the tables again"
            ))
        };
        let text = match text.rsplit_once(SUM) {
            Some((rest, told)) if format!("{:08x}", sum(rest, task)) == told => rest,
            _ => return Err(broken()),
        };
        // Last and looked for from the front, because names may hold anything.
        let (text, begun) = match text.split_once(BEGUN) {
            Some((rest, begun)) => (rest, serde_json::from_str(begun).map_err(|_| broken())?),
            None => (text, Vec::new()),
        };
        let (text, kept_from) = match text.split_once(KEPT_FROM) {
            Some((rest, kept)) => (rest, Some(Position::new(kept))),
            None => (text, None),
        };
        let (position, changes_applied) = match text.split_once(CHANGES) {
            Some((rest, count)) => (rest, count.parse().map_err(|_| broken())?),
            None => (text, 0),
        };
        let is_plain = |text: &str| !text.is_empty() && !text.contains('|');
        if !is_plain(position)
            || kept_from
                .as_ref()
                .is_some_and(|kept| !is_plain(kept.as_str()))
        {
            return Err(broken());
        }
        Ok(Self {
            position: Position::new(position),
            changes_applied,
            kept_from,
            begun,
        })
    }
}

/// What is known of a table whose changes are applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowState {
    /// The table at the source as it was when the last change was applied: the target's table was made after it.
    pub shape: Table,
    /// Whether changes have been applied since it was loaded.
    #[serde(default)]
    pub has_joined: bool,
    /// Its rows hold every transaction up to here, whatever the checkpoint says.
    #[serde(default)]
    pub applied_to: Option<Position>,
    /// Why nothing is applied to it any more, until it is loaded again.
    #[serde(default)]
    pub suspended: Option<String>,
    /// It was suspended within a transaction of which the target has a part. The changes of that part are counted with its own, so that a
    /// stream that begins there again has to give them too.
    #[serde(default)]
    pub suspended_in_part: bool,
}

impl FollowState {
    /// That of a table that has been loaded, or is about to be.
    pub fn loaded(shape: Table) -> Self {
        Self {
            shape,
            has_joined: false,
            applied_to: None,
            suspended: None,
            suspended_in_part: false,
        }
    }

    /// As the control tables hold it.
    ///
    /// # Panics
    /// Never: a table consists of names, numbers and texts.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a table consists of names, numbers and texts")
    }

    /// Reads [`Self::to_text`].
    ///
    /// # Errors
    /// [`Error::Fatal`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| {
            Error::Fatal(format!(
                "what the control tables at the target hold of a table cannot be read ({error}); load the tables again"
            ))
        })
    }
}

/// A change of what the target keeps of a task's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are few at a time, and most are of the large kind"
)]
pub enum RecordChange {
    /// The state of a table. One without a record gets one: its rows are taken to be there, and to hold nothing past the checkpoint.
    Put {
        /// The table at the source.
        table: TableName,
        /// Its state.
        state: FollowState,
    },
    /// The table is none of the task's any more, or is to be loaded from nothing.
    Remove {
        /// The table at the source.
        table: TableName,
    },
    /// The task feeds this table no more.
    Unfed {
        /// The table at the target.
        table: TableName,
        /// Its name from here on, which may be the same to a server that does not tell the case of letters.
        now: Option<TableName>,
    },
}

/// A change of the definition of a table of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are few at a time, and most are of the large kind"
)]
pub enum Definition {
    /// Columns come, go, or get other names or types; or the table gets another name.
    Alter {
        /// The table as it is.
        before: TargetTable,
        /// The table as it is to be.
        after: TargetTable,
        /// What becomes of its columns.
        columns: Vec<ColumnChange>,
    },
    /// The table goes. One that is not there is none too.
    Drop {
        /// The table.
        table: TargetTable,
    },
}

/// A change of a column of the target. Indexes are those of [`TargetTable::columns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnChange {
    /// It comes, NULL in every row.
    Add {
        /// In the table as it is to be.
        after: usize,
    },
    /// It goes.
    Drop {
        /// In the table as it is.
        before: usize,
    },
    /// It gets another name.
    Rename {
        /// In the table as it is.
        before: usize,
        /// In the table as it is to be.
        after: usize,
    },
    /// It allows NULL from now on, or no more.
    Nullable {
        /// In the table as it is to be.
        after: usize,
    },
}

/// What an applier is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplySettings {
    /// The most prepared statements that are kept at the target.
    pub statements_kept_max: usize,
    /// Where the tables are that users read (`awsdms_apply_exceptions`); the service's own place when not given.
    pub control_schema: Option<String>,
    /// The kinds of objects that may be put aside where they keep a definition from being changed, until no more changes follow.
    pub put_aside: ObjectSelection,
}

impl Default for ApplySettings {
    /// Enough statements for the tables and column sets that are busy at a time, while the server's memory for their plans stays at a
    /// few megabytes.
    fn default() -> Self {
        Self {
            statements_kept_max: 256,
            control_schema: None,
            put_aside: ObjectSelection::none(),
        }
    }
}

/// A change that the target refused, for `awsdms_apply_exceptions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyException {
    /// The table at the target.
    pub table: TableName,
    /// What was to be done, in SQL as far as values may be shown.
    pub statement: String,
    /// Why it was not done.
    pub error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let plain = Checkpoint::at(Position::new("16/B374D848"));
        let full = Checkpoint {
            position: Position::new("binlog.000004:1977;a-b:1-7,c"),
            changes_applied: 12,
            kept_from: Some(Position::new("binlog.000003:4")),
            begun: vec![
                Begun {
                    id: Some(7),
                    table: TableName::new("s|kept=1", "a|begun=[]"),
                    to: Some(TableName::new("s", "\"|sum=0")),
                },
                Begun {
                    id: None,
                    table: TableName::new("s", "b"),
                    to: None,
                },
            ],
        };
        let begun = Checkpoint {
            begun: full.begun.clone(),
            ..plain.clone()
        };
        for checkpoint in [plain, full, begun] {
            let text = checkpoint.to_text("a task");
            assert!(text.starts_with(checkpoint.position.as_str()), "{text}");
            assert_eq!(Checkpoint::parse(&text, "a task").unwrap(), checkpoint);
            assert!(Checkpoint::parse(&text, "another").is_err());
        }
        for bad in [
            "",
            "|kept=1/2",
            "1/2|changes=x",
            "1/2|what=3",
            "1/2|kept=",
            "1/2|begun=3",
        ] {
            let summed = format!("{bad}{SUM}{:08x}", sum(bad, "t"));
            assert!(Checkpoint::parse(&summed, "t").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_checkpoint_with_another_byte_or_cut_short_is_refused() {
        let whole = Checkpoint::at(Position::new("binlog.000004:1977;a-b:1-7")).to_text("t");
        for at in 0..whole.len() {
            for other in ["0", "1", "a", "|", ":"] {
                let mut damaged = whole.clone();
                damaged.replace_range(at..=at, other);
                let is_refused = Checkpoint::parse(&damaged, "t").is_err();
                assert!(is_refused || damaged == whole, "{damaged}");
            }
        }
        for length in 0..whole.len() {
            let cut = &whole[..length];
            assert!(Checkpoint::parse(cut, "t").is_err(), "{length}");
        }
    }
}
