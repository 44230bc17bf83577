use super::node::Node;
use super::{MappingError, Pattern, RowFilter, filter};
use crate::TableName;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SelectionAction {
    Include,
    Exclude,
    Explicit,
}

/// What a selection rule looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Tables, partitioned ones included.
    Table,
    /// Views.
    View,
}

/// Which kinds a rule acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinds {
    Tables,
    Views,
    All,
}

impl Kinds {
    fn has(self, kind: TableKind) -> bool {
        match self {
            Self::All => true,
            Self::Tables => kind == TableKind::Table,
            Self::Views => kind == TableKind::View,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct SelectionRule {
    pub(super) id: u64,
    /// Where the rule stands in the document.
    pub(super) path: String,
    pub(super) action: SelectionAction,
    pub(super) schema: Pattern,
    pub(super) table: Pattern,
    pub(super) kinds: Kinds,
    pub(super) load_order: Option<u32>,
    pub(super) filter: RowFilter,
}

impl SelectionRule {
    /// A rule that no document holds.
    pub(super) fn of_names(action: SelectionAction, schema: Pattern, table: Pattern) -> Self {
        Self {
            id: u64::MAX,
            path: "$".to_owned(),
            action,
            schema,
            table,
            kinds: Kinds::Tables,
            load_order: None,
            filter: RowFilter::default(),
        }
    }

    pub(super) fn matches(&self, table: &TableName, kind: TableKind) -> bool {
        self.kinds.has(kind) && self.names(table)
    }

    /// Whether the names match, whatever kind of table it is.
    pub(super) fn names(&self, table: &TableName) -> bool {
        self.schema.matches(&table.schema) && self.table.matches(&table.name)
    }

    pub(super) fn read(rule: &Node<'_>) -> Result<Self, MappingError> {
        let locator = locator(rule)?;
        let action = rule.member("rule-action").ruling_word(&[
            ("include", SelectionAction::Include),
            ("exclude", SelectionAction::Exclude),
            ("explicit", SelectionAction::Explicit),
        ])?;
        let filter = filter::read(&rule.member("filters"))?;
        if !filter.is_empty() && action == SelectionAction::Exclude {
            return Err(rule.member("filters").fault_saying(
                "An exclude rule takes no filters.",
                "no filters, or rule-action include",
            ));
        }
        let (schema, table) = (locator.member("schema-name"), locator.member("table-name"));
        let wants = if action == SelectionAction::Explicit {
            Some("Rule action explicit takes exact names, without a wildcard.")
        } else if filter.is_empty() {
            None
        } else {
            Some("Exact schema and table name required when using filters.")
        };
        let (schema, table) = match wants {
            Some(reason) => (exact(&schema, reason)?, exact(&table, reason)?),
            None => (
                Pattern::new(schema.filled_text()?),
                Pattern::new(table.filled_text()?),
            ),
        };
        let kind = locator.member("table-type");
        let kinds = if kind.is_null() {
            Kinds::Tables
        } else {
            kind.ruling_word(&[
                ("table", Kinds::Tables),
                ("view", Kinds::Views),
                ("all", Kinds::All),
            ])?
        };
        let order = rule.member("load-order");
        let order = order.optional_count(1, u64::from(i32::MAX.unsigned_abs()))?;
        Ok(Self {
            id: rule.rule_id(),
            path: rule.path().to_owned(),
            action,
            schema,
            table,
            kinds,
            load_order: order.and_then(|order| u32::try_from(order).ok()),
            filter,
        })
    }
}

pub(super) fn locator<'a>(rule: &Node<'a>) -> Result<Node<'a>, MappingError> {
    let locator = rule.member("object-locator");
    if locator.is_null() {
        return Err(locator.fault_saying("object locator cannot be null", "an object"));
    }
    locator.object("an object")
}

/// A name without a wildcard. Its `_` stands for itself.
pub(super) fn exact(name: &Node<'_>, reason: &str) -> Result<Pattern, MappingError> {
    let text = name.filled_text()?;
    if text.contains('%') {
        return Err(name.fault_saying(reason, "a name without %"));
    }
    Ok(Pattern::exact(text))
}
