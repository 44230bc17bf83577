use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

/// A kind of object that can be wanted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Extensions of the server.
    Extension,
    /// Types that no column has, and schemas without tables.
    Type,
    /// Functions and procedures.
    Routine,
    /// Secondary indexes, unique ones and unique constraints among them.
    Index,
    /// Foreign keys.
    ForeignKey,
    /// Check constraints.
    Check,
    /// Defaults of columns.
    Default,
    /// Columns that the server numbers, and sequences, with the numbers that come next.
    Sequence,
    /// Views, those that keep their rows among them.
    View,
    /// Triggers and rules.
    Trigger,
    /// Policies of row-level security, and whether a table has it.
    Policy,
    /// What the server does at set times.
    Event,
    /// Privileges of users and roles.
    Grant,
    /// Comments.
    Comment,
    /// What the server knows of the rows when it plans a query.
    Statistics,
}

impl ObjectKind {
    /// Those that belong to a table and to nothing else.
    const OF_TABLES: [Self; 7] = [
        Self::Index,
        Self::ForeignKey,
        Self::Check,
        Self::Sequence,
        Self::Default,
        Self::Comment,
        Self::Statistics,
    ];

    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 15] = [
        Self::Extension,
        Self::Type,
        Self::Routine,
        Self::Index,
        Self::ForeignKey,
        Self::Check,
        Self::Sequence,
        Self::Default,
        Self::View,
        Self::Trigger,
        Self::Policy,
        Self::Event,
        Self::Grant,
        Self::Comment,
        Self::Statistics,
    ];

    /// Its name in options and settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Extension => "extensions",
            Self::Type => "types",
            Self::Routine => "routines",
            Self::View => "views",
            Self::Trigger => "triggers",
            Self::Policy => "policies",
            Self::Event => "events",
            Self::Grant => "grants",
            Self::Index => "indexes",
            Self::ForeignKey => "foreign-keys",
            Self::Check => "checks",
            Self::Default => "defaults",
            Self::Sequence => "sequences",
            Self::Comment => "comments",
            Self::Statistics => "statistics",
        }
    }

    /// One of them, for messages.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Extension => "extension",
            Self::Type => "type",
            Self::Routine => "routine",
            Self::View => "view",
            Self::Trigger => "trigger",
            Self::Policy => "policy",
            Self::Event => "event",
            Self::Grant => "grant",
            Self::Index => "index",
            Self::ForeignKey => "foreign key",
            Self::Check => "check",
            Self::Default => "default",
            Self::Sequence => "sequence",
            Self::Comment => "comment",
            Self::Statistics => "statistics",
        }
    }
}

/// A name that is no kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no kind of object; give {forms}", forms = ObjectSelection::forms())]
pub struct UnknownObjectKind(String);

/// The kinds of objects that are wanted at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSelection {
    kinds: BTreeSet<ObjectKind>,
    converts_views: bool,
}

/// Asks for views of another engine to be made as they were converted.
const CONVERTED_VIEWS: &str = "converted-views";

impl ObjectSelection {
    fn of(kinds: impl IntoIterator<Item = ObjectKind>) -> Self {
        Self {
            kinds: kinds.into_iter().collect(),
            converts_views: false,
        }
    }

    /// What [`Self::parse`] takes, for messages.
    pub fn forms() -> String {
        let kinds = ObjectKind::ALL.map(ObjectKind::as_str).join(", ");
        format!("none, or some of all, tables, {kinds}, {CONVERTED_VIEWS} with commas between")
    }

    /// All of them but views that are converted, the default.
    pub fn all() -> Self {
        Self::of(ObjectKind::ALL)
    }

    /// What belongs to tables. What has a text of its own (routines, views, triggers and the like) is listed with it, for who does not want that anything of
    /// it changes what runs at the target and with whose rights.
    pub fn of_tables() -> Self {
        Self::of(ObjectKind::OF_TABLES)
    }

    /// Whether it is [`Self::of_tables`].
    pub fn is_of_tables(&self) -> bool {
        *self == Self::of_tables()
    }

    /// None: rows and primary keys only.
    pub fn none() -> Self {
        Self::of([])
    }

    /// Reads `none`, or `all`, `tables` and names with commas between.
    ///
    /// # Errors
    /// When a name is none of [`ObjectKind`]'s.
    pub fn parse(text: &str) -> Result<Self, UnknownObjectKind> {
        let mut selection = Self::none();
        if text.trim() == "none" {
            return Ok(selection);
        }
        for name in text.split(',').map(str::trim) {
            match name {
                "all" => selection.kinds.extend(ObjectKind::ALL),
                "tables" => selection.kinds.extend(ObjectKind::OF_TABLES),
                CONVERTED_VIEWS => {
                    selection.kinds.insert(ObjectKind::View);
                    selection.converts_views = true;
                }
                _ => {
                    let mut known = ObjectKind::ALL.into_iter();
                    let kind = known.find(|kind| kind.as_str() == name);
                    let unknown = || UnknownObjectKind(name.to_owned());
                    selection.kinds.insert(kind.ok_or_else(unknown)?);
                }
            }
        }
        Ok(selection)
    }

    /// Whether views of another engine are made as they were converted, and not only listed so.
    pub fn converts_views(&self) -> bool {
        self.converts_views
    }

    /// Whether objects of a kind are wanted.
    pub fn has(&self, kind: ObjectKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Those that are wanted here and there.
    #[must_use]
    pub fn only(&self, kinds: &[ObjectKind]) -> Self {
        let both = self.kinds.iter().filter(|kind| kinds.contains(kind));
        Self {
            kinds: both.copied().collect(),
            ..*self
        }
    }
}

impl fmt::Display for ObjectSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        if *self == Self::all() {
            return f.write_str("all");
        }
        if self.is_of_tables() {
            return f.write_str("tables");
        }
        if self.converts_views {
            let rest = Self {
                converts_views: false,
                kinds: self.kinds.clone(),
            };
            return write!(f, "{rest},{CONVERTED_VIEWS}");
        }
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_given_by_name() {
        assert_eq!(
            ObjectSelection::parse("all").unwrap(),
            ObjectSelection::all()
        );
        assert!(ObjectSelection::parse("none").unwrap().is_empty());
        let of_tables = ObjectSelection::parse("tables").unwrap();
        assert!(of_tables.is_of_tables() && of_tables.has(ObjectKind::Index));
        assert!(!of_tables.has(ObjectKind::View) && of_tables.to_string() == "tables");
        let some = ObjectSelection::parse("checks, indexes").unwrap();
        assert!(
            some.has(ObjectKind::Check)
                && some.has(ObjectKind::Index)
                && !some.has(ObjectKind::Comment)
        );
        assert_eq!(some.to_string(), "indexes,checks");
        let both = ObjectSelection::parse("all, converted-views").unwrap();
        assert!(both.converts_views() && !ObjectSelection::all().converts_views());
        assert_eq!(both.to_string(), "all,converted-views");
        assert_eq!(ObjectSelection::parse(&both.to_string()).unwrap(), both);
        let error = ObjectSelection::parse("indexes,vistas")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("\"vistas\"") && error.contains("foreign-keys"),
            "{error}"
        );
    }
}
