use std::collections::{BTreeMap, BTreeSet};

/// How often each kind of resource has changed since the store was opened: a commit counts once for each kind that it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<&'static str, u64>);

impl Changes {
    /// The changes of all these kinds together: a number that grows.
    pub fn of(&self, kinds: &[&str]) -> u64 {
        let counts = kinds.iter().filter_map(|kind| self.0.get(kind));
        counts.sum()
    }

    /// Counts a commit that wrote these kinds.
    pub(crate) fn add(&mut self, kinds: &BTreeSet<&'static str>) {
        for kind in kinds {
            *self.0.entry(kind).or_default() += 1;
        }
    }
}
