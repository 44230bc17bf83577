use super::Pattern;
use crate::TableName;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SelectionAction {
    Include,
    Exclude,
    Explicit,
}

#[derive(Clone, Debug)]
pub(super) struct SelectionRule {
    pub(super) action: SelectionAction,
    pub(super) schema: Pattern,
    pub(super) table: Pattern,
    pub(super) load_order: Option<u32>,
}

impl SelectionRule {
    pub(super) fn matches(&self, table: &TableName) -> bool {
        self.schema.matches(&table.schema) && self.table.matches(&table.name)
    }
}
