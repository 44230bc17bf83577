//! From the rules and a table to what becomes of it.
//!
//! Of several rules of one kind that match an object, the one of the lowest id acts, and they are never combined. Rules of different kinds
//! act side by side; all of them name objects as the source does.

use std::collections::HashSet;

use thiserror::Error;

use super::expression_text::{Part, indicates_operation, parts};
use super::table_rules::{Origin, TableRules, TargetColumn, TargetKey};
use super::transformation::{Action, BeforeImageFilter, NameChange, Target, Transformation};
use super::{KeyOrigin, LobMode, Mask, Predicate, TableMappings, is_lob};
use crate::{Column, ColumnType, Table, TableName};

/// A rule that does not fit a table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "table {table}: rule {rule_id} of the table mappings does not fit it; {path}: expected {expected}"
)]
pub struct ResolveError {
    /// The table at the source.
    pub table: TableName,
    /// The rule's id.
    pub rule_id: u64,
    /// Where it stands in the document.
    pub path: String,
    /// What would have been right.
    pub expected: String,
}

impl ResolveError {
    pub(super) fn new(
        table: &Table,
        rule_id: u64,
        path: &str,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            table: table.name.clone(),
            rule_id,
            path: path.to_owned(),
            expected: expected.into(),
        }
    }
}

/// What an expression that makes a name may ask for.
#[derive(Clone, Copy, Debug)]
pub struct SourceNames<'a> {
    /// `$AR_M_SOURCE_SCHEMA`
    pub schema: &'a str,
    /// `$AR_M_SOURCE_TABLE_NAME`
    pub table: &'a str,
    /// `$AR_M_SOURCE_COLUMN_NAME`, and the column's type behind `$AR_M_SOURCE_COLUMN_DATATYPE`.
    pub column: Option<&'a Column>,
}

/// Evaluates the expressions of rules that make names.
pub trait NameExpressions {
    /// The name that an expression makes.
    ///
    /// # Errors
    /// What was expected, in words that follow "expected".
    fn name(&self, expression: &str, names: &SourceNames<'_>) -> Result<String, String>;
}

/// Refuses every expression: for mappings that have none.
#[derive(Clone, Copy, Debug)]
pub struct NoExpressions;

impl NameExpressions for NoExpressions {
    fn name(&self, _: &str, _: &SourceNames<'_>) -> Result<String, String> {
        Err("a name, since expressions are not evaluated here".to_owned())
    }
}

impl TableMappings {
    /// What becomes of a table that is in scope.
    ///
    /// # Errors
    /// A rule that does not fit the table, such as a filter on a column that it does not have.
    pub fn resolve(
        &self,
        table: &Table,
        names: &dyn NameExpressions,
    ) -> Result<TableRules, ResolveError> {
        let rules = self.transformations.iter().filter(|rule| {
            matches!(rule.target, Target::Table | Target::Column)
                && rule.locator.has_table(&table.name)
        });
        let settings = self.settings.iter().find(|rule| rule.table == table.name);
        let resolver = Resolver {
            table,
            names,
            rules: rules.collect(),
            lob: settings.and_then(|rule| rule.lob),
        };
        let segments = self.segments(table)?;
        let mut notes = Vec::new();
        let (mut columns, removed) = resolver.source_columns()?;
        columns.extend(resolver.before_images(&columns));
        columns.extend(resolver.added_columns()?);
        resolver.check_columns(&columns)?;
        let key = resolver.key(&columns, &mut notes)?;
        let deletes_become_updates = resolver.soft_delete(&columns, key.as_ref())?;
        Ok(TableRules {
            target: self.target_name(&table.name, names)?,
            key,
            columns,
            removed,
            filter: self.filter_of(table)?,
            deletes_become_updates,
            load_order: self.load_order(&table.name),
            segments,
            lob: resolver.lob,
            notes,
        })
    }

    /// The table's schema and name at the target.
    ///
    /// # Errors
    /// A rule that makes no name of one.
    pub fn target_name(
        &self,
        table: &TableName,
        names: &dyn NameExpressions,
    ) -> Result<TableName, ResolveError> {
        let source = SourceNames {
            schema: &table.schema,
            table: &table.name,
            column: None,
        };
        let new_name = |rule: Option<(u64, &str, &NameChange)>, name: &str| match rule {
            None => Ok(name.to_owned()),
            Some((rule_id, path, change)) => {
                renamed(change, name, names, &source).map_err(|expected| ResolveError {
                    table: table.clone(),
                    rule_id,
                    path: path.to_owned(),
                    expected,
                })
            }
        };
        Ok(TableName {
            schema: new_name(self.schema_rename(table), &table.schema)?,
            name: new_name(self.table_rename(table), &table.name)?,
        })
    }

    /// The filters of the one rule that has some. Rules without filters do not widen it: they select the table, not its rows.
    fn filter_of(&self, table: &Table) -> Result<Option<Predicate>, ResolveError> {
        let mut filtered = self
            .inclusions()
            .filter(|rule| !rule.filter.is_empty() && rule.names(&table.name));
        let bound = filtered.next().map(|rule| rule.filter.bind(rule.id, table));
        bound.transpose()
    }
}

fn renamed(
    change: &NameChange,
    name: &str,
    names: &dyn NameExpressions,
    source: &SourceNames<'_>,
) -> Result<String, String> {
    let new = match change {
        NameChange::Plain(action) => action.apply(name),
        NameChange::Expression(expression) => names.name(expression, source)?,
    };
    if new.is_empty() || new.contains('\0') {
        return Err(format!("a rule that leaves something of the name {name}"));
    }
    Ok(new)
}

/// What a column holds at the target, and how that is hidden.
struct Typed {
    ty: ColumnType,
    mask: Option<Mask>,
    retyped: Option<ColumnType>,
    retyped_by: Option<u64>,
}

struct Resolver<'a> {
    table: &'a Table,
    names: &'a dyn NameExpressions,
    /// Those of tables and columns that are for the table, in the order of their ids.
    rules: Vec<&'a Transformation>,
    lob: Option<LobMode>,
}

impl<'a> Resolver<'a> {
    fn error(&self, rule: &Transformation, expected: impl Into<String>) -> ResolveError {
        ResolveError::new(self.table, rule.id, &rule.path, expected)
    }

    /// The rule of the lowest id that does something to a column, and what.
    fn rule_for<T>(
        &self,
        column: &Column,
        what: impl Fn(&'a Action) -> Option<T>,
    ) -> Option<(&'a Transformation, T)> {
        self.rules
            .iter()
            .filter(|rule| rule.target == Target::Column && rule.locator.has_column(column))
            .find_map(|rule| Some((*rule, what(&rule.action)?)))
    }

    /// The columns that are kept, and the places of the others.
    fn source_columns(&self) -> Result<(Vec<TargetColumn>, Vec<usize>), ResolveError> {
        let includes = |rule: &&Transformation| rule.action == Action::IncludeColumn;
        let keeps_included_only = self.rules.iter().any(includes);
        let (mut columns, mut removed) = (Vec::new(), Vec::new());
        for (place, column) in self.table.columns.iter().enumerate() {
            let rule = self.rule_for(column, |action| match action {
                Action::IncludeColumn => Some(true),
                Action::RemoveColumn => Some(false),
                _ => None,
            });
            let is_kept = rule.map_or(!keeps_included_only, |(_, is_kept)| is_kept);
            let is_lob_left_out = self.lob == Some(LobMode::None) && is_lob(&column.ty);
            if is_kept && !is_lob_left_out {
                columns.push(self.source_column(place, column)?);
            } else {
                removed.push(place);
            }
        }
        Ok((columns, removed))
    }

    fn source_column(&self, place: usize, column: &Column) -> Result<TargetColumn, ResolveError> {
        let rename = self.rule_for(column, |action| match action {
            Action::Rename(change) => Some(change),
            _ => None,
        });
        let source = SourceNames {
            schema: &self.table.name.schema,
            table: &self.table.name.name,
            column: Some(column),
        };
        let name = match rename {
            None => column.name.clone(),
            Some((rule, change)) => renamed(change, &column.name, self.names, &source)
                .map_err(|expected| self.error(rule, expected))?,
        };
        let Typed {
            ty,
            mask,
            retyped,
            retyped_by,
        } = self.type_and_mask(column)?;
        Ok(TargetColumn {
            name,
            origin: Origin::Source(place),
            is_retyped: ty != column.ty,
            ty,
            retyped,
            retyped_by,
            nullable: column.nullable,
            mask,
            named_by: rename.map(|(rule, _)| rule.id),
        })
    }

    fn type_and_mask(&self, column: &Column) -> Result<Typed, ResolveError> {
        let change = self.rule_for(column, |action| match action {
            Action::ChangeDataType(data_type) => Some(data_type.column_type()),
            _ => None,
        });
        // What the server computes has the type that comes of it; a rule for many columns does not mean it.
        let change = change.filter(|(rule, _)| column.is_loaded() || rule.locator.names_column());
        let mask = self.rule_for(column, |action| match action {
            Action::Mask(mask) => Some(*mask),
            _ => None,
        });
        let shaping = change
            .as_ref()
            .map(|(rule, _)| *rule)
            .or(mask.map(|(rule, _)| rule));
        if let Some(rule) = shaping.filter(|_| !column.is_loaded()) {
            let name = &column.name;
            return Err(self.error(
                rule,
                format!("a column with values of its own: {name} is computed by the server"),
            ));
        }
        if let (Some((change, _)), Some((mask, _))) = (&change, &mask)
            && change.id > mask.id
        {
            let expected = format!(
                "the change of the data type of column {} to have a lower rule-id than its mask",
                column.name
            );
            return Err(self.error(change, expected));
        }
        let retyped_by = change.as_ref().map(|(rule, _)| rule.id);
        let retyped = change.map(|(_, ty)| ty);
        let ty = retyped.clone().unwrap_or_else(|| column.ty.clone());
        let Some((rule, mask)) = mask else {
            return Ok(Typed {
                ty,
                mask: None,
                retyped,
                retyped_by,
            });
        };
        if !mask.hides(&ty) {
            // A value that is not hidden would be seen.
            let expected = format!(
                "a column whose values can be masked: text, or exact numbers for random digits; change the data type of {} first",
                column.name
            );
            return Err(self.error(rule, expected));
        }
        Ok(Typed {
            ty: mask.masked_type(&ty),
            mask: Some(mask),
            retyped,
            retyped_by,
        })
    }

    /// Named after the columns at the target, of their types, masked like them.
    fn before_images(&self, columns: &[TargetColumn]) -> Vec<TargetColumn> {
        let mut images = Vec::new();
        for of in columns {
            let Origin::Source(place) = of.origin else {
                continue;
            };
            let column = &self.table.columns[place];
            let rule = self.rule_for(column, |action| match action {
                Action::AddBeforeImage(before) => Some(before),
                _ => None,
            });
            let Some((rule, before)) = rule.filter(|_| column.is_loaded()) else {
                continue;
            };
            let has_image = match before.filter {
                BeforeImageFilter::KeyOnly => self.table.primary_key.contains(&place),
                BeforeImageFilter::NonLob => !is_lob(&column.ty),
                BeforeImageFilter::All => true,
            };
            if has_image {
                images.push(TargetColumn {
                    name: format!("{}{}{}", before.prefix, of.name, before.suffix),
                    origin: Origin::Before(place),
                    nullable: true,
                    named_by: Some(rule.id),
                    ..of.clone()
                });
            }
        }
        images
    }

    fn added_columns(&self) -> Result<Vec<TargetColumn>, ResolveError> {
        let mut added: Vec<TargetColumn> = Vec::new();
        for rule in &self.rules {
            let Action::AddColumn(new) = &rule.action else {
                continue;
            };
            if added.iter().any(|column| column.name == new.name) {
                continue;
            }
            self.check_references(rule, &new.expression)?;
            added.push(TargetColumn {
                name: new.name.clone(),
                origin: Origin::Expression {
                    rule_id: rule.id,
                    expression: new.expression.clone(),
                },
                ty: new.data_type.column_type(),
                is_retyped: true,
                retyped: None,
                retyped_by: None,
                nullable: true,
                mask: None,
                named_by: Some(rule.id),
            });
        }
        Ok(added)
    }

    fn check_references(
        &self,
        rule: &Transformation,
        expression: &str,
    ) -> Result<(), ResolveError> {
        let parts = parts(expression).map_err(|problem| self.error(rule, problem))?;
        for part in parts {
            let Part::Reference(name) = part else {
                continue;
            };
            let is_variable = name.starts_with("AR_H_") || name.starts_with("AR_M_");
            let mut loaded = self.table.loaded_columns();
            if !is_variable && !loaded.any(|column| column.name == name) {
                let expected = format!(
                    "an expression over columns that the source gives values of, as it spells them: ${name} is none"
                );
                return Err(self.error(rule, expected));
            }
        }
        Ok(())
    }

    /// No two columns may have one name.
    fn check_columns(&self, columns: &[TargetColumn]) -> Result<(), ResolveError> {
        let mut names = HashSet::new();
        for column in columns {
            if !names.insert(column.name.as_str()) {
                let rule = self.namer_of(column);
                let expected = format!(
                    "names that differ: two columns would be called {}",
                    column.name
                );
                return Err(match rule {
                    Some(rule) => self.error(rule, expected),
                    None => ResolveError::new(self.table, 0, "$", expected),
                });
            }
        }
        let is_loaded = |column: &TargetColumn| match column.origin {
            Origin::Source(place) => self.table.columns[place].is_loaded(),
            _ => true,
        };
        if !self.table.columns.is_empty() && !columns.iter().any(is_loaded) {
            let rule = self
                .rules
                .iter()
                .find(|rule| matches!(rule.action, Action::RemoveColumn | Action::IncludeColumn));
            let expected = "rules that leave a column of the table";
            return Err(match rule {
                Some(rule) => self.error(rule, expected),
                None => ResolveError::new(self.table, 0, "$", expected),
            });
        }
        Ok(())
    }

    /// The rule that gave a column its name, or may have given it to the other of that name.
    fn namer_of(&self, column: &TargetColumn) -> Option<&'a Transformation> {
        let names = |rule: &&&Transformation| match (&column.origin, &rule.action) {
            (Origin::Source(_), Action::Rename(_)) => rule.target == Target::Column,
            (Origin::Before(_), Action::AddBeforeImage(_)) => true,
            (Origin::Expression { rule_id, .. }, _) => rule.id == *rule_id,
            _ => false,
        };
        self.rules.iter().find(names).copied()
    }

    fn key(
        &self,
        columns: &[TargetColumn],
        notes: &mut Vec<String>,
    ) -> Result<Option<TargetKey>, ResolveError> {
        let defined = self.rules.iter().find_map(|rule| match &rule.action {
            Action::DefinePrimaryKey(key) => Some((rule, key)),
            _ => None,
        });
        let of_source = |place: usize| {
            let mut columns = columns.iter();
            columns.position(|column| column.origin == Origin::Source(place))
        };
        let key = if let Some((rule, key)) = defined {
            let find = |name: &String| {
                let mut source = self.table.columns.iter();
                let by_source = source
                    .position(|column| column.name == *name)
                    .and_then(of_source);
                let by_target = || columns.iter().position(|column| column.name == *name);
                by_source.or_else(by_target).ok_or_else(|| {
                    self.error(
                        rule,
                        format!("a key of columns that the target has: {name} is none"),
                    )
                })
            };
            let columns = key
                .columns
                .iter()
                .map(find)
                .collect::<Result<Vec<_>, _>>()?;
            TargetKey {
                name: key.name.clone(),
                columns,
                defined: Some(key.origin),
            }
        } else {
            let kept: Vec<usize> = self
                .table
                .primary_key
                .iter()
                .filter_map(|&place| of_source(place))
                .collect();
            if kept.len() < self.table.primary_key.len() {
                notes.push(
                    "a column of the primary key is left out, so the target has no key".to_owned(),
                );
            }
            if kept.is_empty() || kept.len() < self.table.primary_key.len() {
                return Ok(None);
            }
            TargetKey {
                name: None,
                columns: kept,
                defined: None,
            }
        };
        for &place in &key.columns {
            let column = &columns[place];
            if matches!(column.mask, Some(Mask::Digits(_) | Mask::RandomDigits)) {
                notes.push(format!(
                    "digits of column {} of the key are masked: keys that differ may become equal",
                    column.name
                ));
            }
        }
        Ok(Some(key))
    }

    fn soft_delete(
        &self,
        columns: &[TargetColumn],
        key: Option<&TargetKey>,
    ) -> Result<bool, ResolveError> {
        let indicator = columns.iter().find(|column| {
            matches!(&column.origin, Origin::Expression { expression, .. } if indicates_operation(expression))
        });
        let Some(column) = indicator else {
            return Ok(false);
        };
        let has_source_key = !self.table.primary_key.is_empty()
            || key.is_some_and(|key| key.defined == Some(KeyOrigin::UniqueIndex));
        match self.namer_of(column) {
            Some(rule) if key.is_none() || !has_source_key => Err(self.error(
                rule,
                "a table with a key at both ends, for operation_indicator turns deletes into updates",
            )),
            _ => Ok(true),
        }
    }
}
