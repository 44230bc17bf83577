use super::shape::Shape;
use crate::quote::identifier;

/// The most staging tables that a session keeps. The server empties each of them at every commit, used or not.
const KEPT_MAX: usize = 32;

/// Names in the SQL of a staging table, quoted. Its other columns are named as those of the target, so that the server's messages
/// name the right ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StagingNames {
    pub(super) table: String,
    pub(super) is_delete: String,
    pub(super) is_whole: String,
    pub(super) mask: String,
}

impl StagingNames {
    fn new(number: u32, shape: &Shape) -> Self {
        let free = |name: &str| {
            let mut name = name.to_owned();
            while shape
                .columns
                .iter()
                .any(|column| column.name == identifier(&name))
            {
                name.push('_');
            }
            identifier(&name)
        };
        Self {
            table: format!("pg_temp.awsdms_changes_{number}"),
            is_delete: free("awsdms_is_delete"),
            is_whole: free("awsdms_is_whole"),
            mask: free("awsdms_mask"),
        }
    }
}

/// The staging tables of a session. What a transaction or a call made is forgotten when that is rolled back.
#[derive(Debug, Default)]
pub(super) struct StagingTables {
    kept: Vec<StagingTable>,
    count: u32,
    clock: u64,
}

#[derive(Debug)]
struct StagingTable {
    shape: u32,
    names: StagingNames,
    life: Life,
    /// Whether rows lie in it, until the transaction ends.
    is_used: bool,
    used_at: u64,
}

/// Since when a staging table is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Call,
    Transaction,
    Session,
}

/// What to do before rows are copied into a staging table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Preparation {
    /// It is there and empty.
    Nothing,
    Create,
    /// An earlier call of the transaction left rows.
    Empty,
}

impl StagingTables {
    /// The staging table of a shape, and what it needs. Counts on being told how the call ended.
    pub(super) fn take(&mut self, shape: &Shape) -> (StagingNames, Preparation) {
        self.clock += 1;
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.shape == shape.number) {
            kept.used_at = self.clock;
            let preparation = if kept.is_used {
                Preparation::Empty
            } else {
                Preparation::Nothing
            };
            kept.is_used = true;
            return (kept.names.clone(), preparation);
        }
        self.count += 1;
        let names = StagingNames::new(self.count, shape);
        self.kept.push(StagingTable {
            shape: shape.number,
            names: names.clone(),
            life: Life::Call,
            is_used: true,
            used_at: self.clock,
        });
        (names, Preparation::Create)
    }

    /// Gives up the one that was not used for longest, when there are too many; its SQL name. It was empty at the last commit.
    pub(super) fn evict(&mut self) -> Option<String> {
        if self.kept.len() <= KEPT_MAX {
            return None;
        }
        let idle = (0..self.kept.len())
            .filter(|&index| self.kept[index].life == Life::Session && !self.kept[index].is_used);
        let oldest = idle.min_by_key(|&index| self.kept[index].used_at)?;
        Some(self.kept.swap_remove(oldest).names.table)
    }

    /// Gives up the one of a shape that is out of date; its SQL name.
    pub(super) fn forget(&mut self, shape: u32) -> Option<String> {
        let index = self.kept.iter().position(|kept| kept.shape == shape)?;
        Some(self.kept.swap_remove(index).names.table)
    }

    pub(super) fn call_done(&mut self) {
        for kept in self.kept.iter_mut().filter(|kept| kept.life == Life::Call) {
            kept.life = Life::Transaction;
        }
    }

    pub(super) fn call_undone(&mut self) {
        self.kept.retain(|kept| kept.life != Life::Call);
    }

    pub(super) fn committed(&mut self) {
        for kept in &mut self.kept {
            kept.life = Life::Session;
            kept.is_used = false;
        }
    }

    pub(super) fn rolled_back(&mut self) {
        self.kept.retain(|kept| kept.life == Life::Session);
        self.committed();
    }
}
