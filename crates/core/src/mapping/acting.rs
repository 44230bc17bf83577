//! What of the rules acts in this version. The language is read as a whole; a rule that nothing acts on is refused, never ignored.

use super::error::Place;
use super::selection::{Kinds, SelectionRule};
use super::table_settings::{ParallelLoad, TableSettings};
use super::transformation::{Action, NameChange, Target, Transformation};
use super::{MappingError, Mask, TableMappings};

/// Something that a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    Views,
    Filters,
    TableSettings,
    PartitionSegments,
    RangeSegments,
    LobSettings,
    NameExpressions,
    Tablespaces,
    ColumnRenames,
    RemovedColumns,
    AddedColumns,
    DataTypes,
    PrimaryKeys,
    BeforeImages,
    Masks,
    RandomDigits,
    ValidationFunctions,
    PostProcessing,
    ObjectMapping,
}

/// A rule that asks for something.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) feature: Feature,
    pub(super) rule_id: u64,
    pub(super) path: String,
}

/// What is read, checked and resolved, and that no part of a run acts on yet.
pub(super) const DOES_NOT_ACT: &[Feature] = &[
    Feature::Tablespaces,
    Feature::ValidationFunctions,
    Feature::PostProcessing,
    Feature::ObjectMapping,
];

/// Refuses the first rule that asks for something that does not act.
pub(super) fn refuse_what_does_not_act(mappings: &TableMappings) -> Result<(), MappingError> {
    let refused = mappings
        .uses
        .iter()
        .find(|used| DOES_NOT_ACT.contains(&used.feature));
    match refused {
        None => Ok(()),
        Some(used) => Err(MappingError::Rule {
            rule_id: used.rule_id,
            reason: format!("{} not supported by this version.", used.feature.subject()),
            place: Place {
                path: used.path.clone(),
                expected: "a rule of those that act (docs/mappings.md lists them)".to_owned(),
            },
        }),
    }
}

impl Feature {
    fn subject(self) -> &'static str {
        match self {
            Self::Views => "Table types view and all are",
            Self::Filters => "Filters are",
            Self::TableSettings => "Rule type table-settings is",
            Self::PartitionSegments => "Loading partitions in parallel is",
            Self::RangeSegments => "Loading ranges in parallel is",
            Self::LobSettings => "LOB settings of a table are",
            Self::NameExpressions => "Renaming by an expression is",
            Self::Tablespaces => "Rule targets table-tablespace and index-tablespace are",
            Self::ColumnRenames => "Renaming columns is",
            Self::RemovedColumns => "Rule actions remove-column and include-column are",
            Self::AddedColumns => "Rule action add-column is",
            Self::DataTypes => "Rule action change-data-type is",
            Self::PrimaryKeys => "Rule action define-primary-key is",
            Self::BeforeImages => "Rule action add-before-image-columns is",
            Self::Masks => "Data masking is",
            Self::RandomDigits => "Rule action data-masking-digits-randomize is",
            Self::ValidationFunctions => "Rule type validation is",
            Self::PostProcessing => "Rule type post-processing is",
            Self::ObjectMapping => "Rule type object-mapping is",
        }
    }

    pub(super) fn of_selection(rule: &SelectionRule) -> Vec<Self> {
        let mut features = Vec::new();
        if rule.kinds != Kinds::Tables {
            features.push(Self::Views);
        }
        if !rule.filter.is_empty() {
            features.push(Self::Filters);
        }
        features
    }

    pub(super) fn of_transformation(rule: &Transformation) -> Vec<Self> {
        let mut features = Vec::new();
        match rule.target {
            Target::Tablespace => features.push(Self::Tablespaces),
            Target::Column if matches!(rule.action, Action::Rename(_)) => {
                features.push(Self::ColumnRenames);
            }
            _ => {}
        }
        features.extend(match &rule.action {
            Action::Rename(NameChange::Plain(_)) => None,
            Action::Rename(NameChange::Expression(_)) => Some(Self::NameExpressions),
            Action::RemoveColumn | Action::IncludeColumn => Some(Self::RemovedColumns),
            Action::AddColumn(_) => Some(Self::AddedColumns),
            Action::ChangeDataType(_) => Some(Self::DataTypes),
            Action::DefinePrimaryKey(_) => Some(Self::PrimaryKeys),
            Action::AddBeforeImage(_) => Some(Self::BeforeImages),
            Action::Mask(Mask::RandomDigits) => Some(Self::RandomDigits),
            Action::Mask(_) => Some(Self::Masks),
        });
        features
    }

    pub(super) fn of_settings(rule: &TableSettings) -> Vec<Self> {
        let mut features = vec![Self::TableSettings];
        match &rule.parallel_load {
            None | Some(ParallelLoad::None) => {}
            Some(ParallelLoad::Ranges(_)) => features.push(Self::RangeSegments),
            Some(_) => features.push(Self::PartitionSegments),
        }
        if rule.lob.is_some() {
            features.push(Self::LobSettings);
        }
        features
    }
}
