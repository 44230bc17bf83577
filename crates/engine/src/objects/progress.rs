use std::collections::BTreeSet;
use std::time::Duration;

use whimbrel_connector::objects::{Review, Unconverted};
use whimbrel_core::objects::ObjectKind;

use crate::{Progress, ProgressSnapshot};

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectState {
    /// It was made.
    Made,
    /// It was there.
    Kept,
    /// It is not there: why, and what to do.
    Failed(String),
    /// A table that it needs is not loaded: it is made once that is.
    Waits(String),
}

/// One object that was dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectResult {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name, with the table's in front.
    pub name: String,
    /// What became of it.
    pub state: ObjectState,
    /// How it differs from the source's.
    pub note: Option<String>,
    /// Both texts of what was converted.
    pub review: Option<Box<Review>>,
    /// How long it took.
    pub elapsed: Duration,
}

/// How far the phase is in which objects are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectProgress {
    /// Grows each time the phase begins anew, which takes the results back.
    pub round: u64,
    /// How many there are to make.
    pub total: usize,
    /// Those that are being made.
    pub running: BTreeSet<String>,
    /// Those that were dealt with, in the order in which that was done.
    pub results: Vec<ObjectResult>,
    /// Those that are not made, with the reason.
    pub unconverted: Vec<Unconverted>,
    /// Those that wait until no more changes follow.
    pub waiting: usize,
    /// Faults of the environment that were met while objects were made, in all rounds.
    pub faults: u32,
}

impl ObjectProgress {
    /// Those that could not be made, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&ObjectResult, &str)> {
        self.results
            .iter()
            .filter_map(|result| match &result.state {
                ObjectState::Failed(why) => Some((result, why.as_str())),
                ObjectState::Made | ObjectState::Kept | ObjectState::Waits(_) => None,
            })
    }
}

impl ProgressSnapshot {
    /// How many objects could not be made.
    pub fn objects_failed(&self) -> usize {
        self.objects
            .as_ref()
            .map_or(0, |objects| objects.failures().count())
    }
}

impl Progress {
    /// The name alone tells no object from another: a column's default and comment have one.
    pub(super) fn begin_objects(
        &self,
        due: &BTreeSet<(ObjectKind, &str)>,
        waiting: usize,
        unconverted: Vec<Unconverted>,
    ) {
        self.objects(|objects| {
            // What an earlier round could not make, and this one does not try, is still not there. What stayed before the load is told behind it.
            let mut results = std::mem::take(&mut objects.results);
            results.retain(|result| {
                let is_open = match result.state {
                    ObjectState::Failed(_) => true,
                    ObjectState::Kept => result.note.is_some(),
                    ObjectState::Made | ObjectState::Waits(_) => false,
                };
                is_open && !due.contains(&(result.kind, result.name.as_str()))
            });
            *objects = ObjectProgress {
                round: objects.round + 1,
                total: due.len() + results.len(),
                results,
                waiting,
                unconverted,
                faults: objects.faults,
                ..ObjectProgress::default()
            };
        });
    }

    /// Takes results back, which are found out anew.
    pub(super) fn forget_objects(&self, is_it: impl Fn(&str) -> bool) {
        self.objects(|objects| objects.results.retain(|result| !is_it(&result.name)));
    }

    /// Which of these was neither made nor found as it is wanted.
    pub(super) fn lacking<'n>(&self, names: &'n [String]) -> Option<&'n String> {
        let mut lacking = None;
        self.objects(|objects| {
            let is_there = |name: &&String| {
                objects.results.iter().any(|result| {
                    result.name == **name
                        && matches!(result.state, ObjectState::Made | ObjectState::Kept)
                })
            };
            lacking = names.iter().find(|name| !is_there(name));
        });
        lacking
    }

    /// One of those that were to be made is not tried.
    pub(super) fn object_is_passed_over(&self) {
        self.objects(|objects| objects.total = objects.total.saturating_sub(1));
    }

    /// Those that are left wait until no more changes follow.
    pub(super) fn objects_break_off(&self) {
        self.objects(|objects| {
            let left = objects.total.saturating_sub(objects.results.len());
            objects.total -= left;
            objects.waiting += left;
            objects.running.clear();
        });
    }

    /// Counts a fault of the environment, and answers how many there were.
    pub(super) fn object_faults(&self) -> u32 {
        let mut count = 0;
        self.objects(|objects| {
            objects.faults = objects.faults.saturating_add(1);
            count = objects.faults;
        });
        count
    }

    pub(super) fn object_begins(&self, name: &str) {
        self.objects(|objects| {
            objects.running.insert(name.to_owned());
        });
    }

    pub(super) fn object_ends(&self, result: ObjectResult) {
        self.objects(|objects| {
            objects.running.remove(&result.name);
            objects.results.push(result);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_one_name_and_several_kinds_are_counted_each() {
        let progress = Progress::new();
        let failed = |kind: ObjectKind| ObjectResult {
            kind,
            name: "s.t.a".to_owned(),
            state: ObjectState::Failed("refused".to_owned()),
            note: None,
            review: None,
            elapsed: Duration::ZERO,
        };
        progress.object_ends(failed(ObjectKind::Index));
        progress.object_ends(failed(ObjectKind::Default));
        let due = [ObjectKind::Default, ObjectKind::Comment].map(|kind| (kind, "s.t.a"));
        progress.begin_objects(&due.into(), 0, Vec::new());
        let objects = progress.snapshot().objects.unwrap_or_default();
        assert_eq!(objects.total, 3);
        assert_eq!(objects.results, [failed(ObjectKind::Index)]);
    }
}
