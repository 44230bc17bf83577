//! Transformation rules: what becomes of names, columns and cells.

use super::data_type::{self, DataType, TypeName};
use super::masking::Mask;
use super::node::Node;
use super::rename::RenameAction;
use super::selection::{exact, locator};
use super::{MappingError, Pattern};
use crate::{Column, TableName};

/// What a rule acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Schema,
    Table,
    Column,
    /// Tablespaces of tables and indexes, which Oracle alone has.
    Tablespace,
}

/// How a name is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NameChange {
    Plain(RenameAction),
    Expression(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Rename(NameChange),
    RemoveColumn,
    IncludeColumn,
    AddColumn(NewColumn),
    ChangeDataType(DataType),
    DefinePrimaryKey(KeyDefinition),
    AddBeforeImage(BeforeImage),
    Mask(Mask),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewColumn {
    pub(super) name: String,
    pub(super) data_type: DataType,
    pub(super) expression: String,
}

/// A key that a rule gives to the target's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyDefinition {
    pub(super) name: Option<String>,
    pub(super) origin: KeyOrigin,
    pub(super) columns: Vec<String>,
}

/// What a key that a rule defines is at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// Its primary key.
    PrimaryKey,
    /// A unique index.
    UniqueIndex,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BeforeImage {
    pub(super) prefix: String,
    pub(super) suffix: String,
    pub(super) filter: BeforeImageFilter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BeforeImageFilter {
    KeyOnly,
    NonLob,
    All,
}

/// Whom a rule is for. Names are those of the source.
#[derive(Clone, Debug)]
pub(super) struct Locator {
    schema: Pattern,
    table: Option<Pattern>,
    column: Option<Pattern>,
    data_type: Option<TypeName>,
}

#[derive(Clone, Debug)]
pub(super) struct Transformation {
    pub(super) id: u64,
    /// Where the rule stands in the document.
    pub(super) path: String,
    pub(super) target: Target,
    pub(super) locator: Locator,
    pub(super) action: Action,
}

impl Locator {
    pub(super) fn of_schema(schema: &str) -> Self {
        Self {
            schema: Pattern::exact(schema),
            table: None,
            column: None,
            data_type: None,
        }
    }

    /// Whether one column is meant, by its name.
    pub(super) fn names_column(&self) -> bool {
        self.column
            .as_ref()
            .is_some_and(|column| !column.has_wildcard())
    }

    pub(super) fn has_schema(&self, schema: &str) -> bool {
        self.schema.matches(schema)
    }

    pub(super) fn has_table(&self, table: &TableName) -> bool {
        self.schema.matches(&table.schema)
            && self
                .table
                .as_ref()
                .is_none_or(|pattern| pattern.matches(&table.name))
    }

    /// For columns of a table that it has.
    pub(super) fn has_column(&self, column: &Column) -> bool {
        let has_name = self.column.as_ref();
        has_name.is_none_or(|pattern| pattern.matches(&column.name))
            && self.data_type.is_none_or(|name| name.is_of(&column.ty))
    }
}

#[derive(Clone, Copy)]
enum Word {
    Rename,
    Lowercase,
    Uppercase,
    AddPrefix,
    AddSuffix,
    RemovePrefix,
    RemoveSuffix,
    ReplacePrefix,
    ReplaceSuffix,
    RenameSchema,
    RenameTable,
    RenameColumn,
    RemoveColumn,
    IncludeColumn,
    AddColumn,
    ChangeDataType,
    DefinePrimaryKey,
    AddBeforeImage,
    DigitsMask,
    DigitsRandomize,
    HashMask,
}

const ACTIONS: &[(&str, Word)] = &[
    ("rename", Word::Rename),
    ("convert-lowercase", Word::Lowercase),
    ("convert-uppercase", Word::Uppercase),
    ("add-prefix", Word::AddPrefix),
    ("add-suffix", Word::AddSuffix),
    ("remove-prefix", Word::RemovePrefix),
    ("remove-suffix", Word::RemoveSuffix),
    ("replace-prefix", Word::ReplacePrefix),
    ("replace-suffix", Word::ReplaceSuffix),
    ("rename-schema", Word::RenameSchema),
    ("rename-table", Word::RenameTable),
    ("rename-column", Word::RenameColumn),
    ("remove-column", Word::RemoveColumn),
    ("include-column", Word::IncludeColumn),
    ("add-column", Word::AddColumn),
    ("change-data-type", Word::ChangeDataType),
    ("define-primary-key", Word::DefinePrimaryKey),
    ("add-before-image-columns", Word::AddBeforeImage),
    ("data-masking-digits-mask", Word::DigitsMask),
    ("data-masking-digits-randomize", Word::DigitsRandomize),
    ("data-masking-hash-mask", Word::HashMask),
];

const TARGETS: &[(&str, Target)] = &[
    ("schema", Target::Schema),
    ("table", Target::Table),
    ("column", Target::Column),
    ("table-tablespace", Target::Tablespace),
    ("index-tablespace", Target::Tablespace),
];

impl Transformation {
    pub(super) fn schema_rename(from: &str, to: &str) -> Self {
        Self {
            id: u64::MAX,
            path: "$".to_owned(),
            target: Target::Schema,
            locator: Locator::of_schema(from),
            action: Action::Rename(NameChange::Plain(RenameAction::Rename(to.to_owned()))),
        }
    }

    pub(super) fn read(rule: &Node<'_>) -> Result<Self, MappingError> {
        let target = rule.member("rule-target").ruling_word(TARGETS)?;
        let action = read_action(rule, target)?;
        Ok(Self {
            id: rule.rule_id(),
            path: rule.path().to_owned(),
            target,
            locator: read_locator(rule, target, &action)?,
            action,
        })
    }
}

fn read_locator(rule: &Node<'_>, target: Target, action: &Action) -> Result<Locator, MappingError> {
    const EXACT: &str = "Exact schema and table name required when using define-primary-key.";
    let locator = locator(rule)?;
    let name = |member: &str| {
        let node = locator.member(member);
        if matches!(action, Action::DefinePrimaryKey(_)) {
            exact(&node, EXACT)
        } else {
            node.filled_text().map(Pattern::new)
        }
    };
    let column = locator.member("column-name");
    // Columns that are made need no name of a source's column.
    let is_of_all = matches!(action, Action::AddColumn(_) | Action::AddBeforeImage(_));
    let data_type = locator.member("data-type");
    let data_type = if target != Target::Column || data_type.is_null() {
        None
    } else {
        Some(data_type::read_name(&data_type)?)
    };
    Ok(Locator {
        schema: match target {
            // A tablespace may stand for itself.
            Target::Tablespace if locator.member("schema-name").is_null() => Pattern::new("%"),
            _ => name("schema-name")?,
        },
        table: match target {
            Target::Table | Target::Column => Some(name("table-name")?),
            Target::Schema | Target::Tablespace => None,
        },
        column: match target {
            Target::Column if is_of_all && column.is_null() => None,
            Target::Column => Some(Pattern::new(column.filled_text()?)),
            _ => None,
        },
        data_type,
    })
}

fn read_action(rule: &Node<'_>, target: Target) -> Result<Action, MappingError> {
    let node = rule.member("rule-action");
    let word = node.ruling_word(ACTIONS)?;
    let takes = targets_of(word);
    if !takes.contains(&target) {
        return Err(rule.member("rule-target").fault_saying(
            "The rule action does not act on this target.",
            names_of(takes),
        ));
    }
    let value = || Ok::<_, MappingError>(rule.member("value").filled_text()?.to_owned());
    let plain = |action| Action::Rename(NameChange::Plain(action));
    Ok(match word {
        Word::Rename
        | Word::Lowercase
        | Word::Uppercase
        | Word::AddPrefix
        | Word::AddSuffix
        | Word::RemovePrefix
        | Word::RemoveSuffix
        | Word::ReplacePrefix
        | Word::ReplaceSuffix => plain(read_rename(rule, word)?),
        Word::RenameSchema | Word::RenameTable | Word::RenameColumn => {
            Action::Rename(NameChange::Expression(expression(rule)?))
        }
        Word::RemoveColumn => Action::RemoveColumn,
        Word::IncludeColumn => Action::IncludeColumn,
        Word::AddColumn => Action::AddColumn(NewColumn {
            name: value()?,
            data_type: DataType::read(&rule.member("data-type"))?,
            expression: expression(rule)?,
        }),
        Word::ChangeDataType => Action::ChangeDataType(DataType::read(&rule.member("data-type"))?),
        Word::DefinePrimaryKey => {
            Action::DefinePrimaryKey(read_key(&rule.member("primary-key-def"))?)
        }
        Word::AddBeforeImage => {
            Action::AddBeforeImage(read_before(&rule.member("before-image-def"))?)
        }
        Word::DigitsMask => Action::Mask(Mask::Digits(read_mask_char(&rule.member("value"))?)),
        Word::DigitsRandomize => Action::Mask(Mask::RandomDigits),
        Word::HashMask => Action::Mask(Mask::Hash),
    })
}

fn targets_of(word: Word) -> &'static [Target] {
    match word {
        Word::Rename => &[
            Target::Schema,
            Target::Table,
            Target::Column,
            Target::Tablespace,
        ],
        Word::Lowercase
        | Word::Uppercase
        | Word::AddPrefix
        | Word::AddSuffix
        | Word::RemovePrefix
        | Word::RemoveSuffix
        | Word::ReplacePrefix
        | Word::ReplaceSuffix => &[Target::Schema, Target::Table, Target::Column],
        Word::RenameSchema => &[Target::Schema],
        Word::RenameTable | Word::DefinePrimaryKey => &[Target::Table],
        _ => &[Target::Column],
    }
}

fn names_of(targets: &[Target]) -> String {
    let names = TARGETS
        .iter()
        .filter(|(_, target)| targets.contains(target));
    let names: Vec<String> = names.map(|(name, _)| format!("{name:?}")).collect();
    format!("one of {}", names.join(", "))
}

fn read_rename(rule: &Node<'_>, word: Word) -> Result<RenameAction, MappingError> {
    let value = || Ok::<_, MappingError>(rule.member("value").filled_text()?.to_owned());
    let old = || Ok::<_, MappingError>(rule.member("old-value").filled_text()?.to_owned());
    // What is taken away may be replaced by nothing.
    let new = || {
        let text = rule.member("value").text()?;
        Ok::<_, MappingError>(text.to_owned())
    };
    Ok(match word {
        Word::Lowercase => RenameAction::Lowercase,
        Word::Uppercase => RenameAction::Uppercase,
        Word::AddPrefix => RenameAction::AddPrefix(value()?),
        Word::AddSuffix => RenameAction::AddSuffix(value()?),
        Word::RemovePrefix => RenameAction::RemovePrefix(value()?),
        Word::RemoveSuffix => RenameAction::RemoveSuffix(value()?),
        Word::ReplacePrefix => RenameAction::ReplacePrefix {
            old: old()?,
            new: new()?,
        },
        Word::ReplaceSuffix => RenameAction::ReplaceSuffix {
            old: old()?,
            new: new()?,
        },
        _ => RenameAction::Rename(value()?),
    })
}

fn expression(rule: &Node<'_>) -> Result<String, MappingError> {
    let node = rule.member("expression");
    let text = node.filled_text()?;
    super::expression_text::parts(text)
        .map_err(|problem| node.fault_saying("The expression cannot be read.", problem))?;
    Ok(text.to_owned())
}

fn read_key(node: &Node<'_>) -> Result<KeyDefinition, MappingError> {
    let node = node.clone().object("an object with the member columns")?;
    let origin = node.member("origin");
    let list = node.member("columns");
    let mut columns: Vec<String> = Vec::new();
    for column in list.items("an array of names of columns")? {
        let name = column.filled_text()?;
        if columns.iter().any(|other| other == name) {
            return Err(column.fault("each column once"));
        }
        columns.push(name.to_owned());
    }
    if columns.is_empty() {
        return Err(list.fault("at least one name of a column"));
    }
    Ok(KeyDefinition {
        name: node.member("name").optional_text()?.map(str::to_owned),
        origin: if origin.is_null() {
            KeyOrigin::PrimaryKey
        } else {
            origin.word(&[
                ("primary-key", KeyOrigin::PrimaryKey),
                ("unique-index", KeyOrigin::UniqueIndex),
            ])?
        },
        columns,
    })
}

fn read_before(node: &Node<'_>) -> Result<BeforeImage, MappingError> {
    let node = node.clone().object("an object")?;
    let part = |member: &str| node.member(member).optional_text();
    let filter = node.member("column-filter");
    let (prefix, suffix) = (part("column-prefix")?, part("column-suffix")?);
    // Nothing said of either means the service's own prefix.
    let prefix = prefix.unwrap_or(if suffix.unwrap_or_default().is_empty() {
        "BI_"
    } else {
        ""
    });
    let before = BeforeImage {
        prefix: prefix.to_owned(),
        suffix: suffix.unwrap_or_default().to_owned(),
        filter: if filter.is_null() {
            BeforeImageFilter::KeyOnly
        } else {
            filter.word(&[
                ("pk-only", BeforeImageFilter::KeyOnly),
                ("non-lob", BeforeImageFilter::NonLob),
                ("all", BeforeImageFilter::All),
            ])?
        },
    };
    if before.prefix.is_empty() && before.suffix.is_empty() {
        return Err(node.fault("a column-prefix or a column-suffix that is not empty"));
    }
    Ok(before)
}

fn read_mask_char(node: &Node<'_>) -> Result<char, MappingError> {
    let text = node.literal()?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(mask @ ' '..='~'), None) => Ok(mask),
        _ => Err(node.fault("one printable ASCII character")),
    }
}
