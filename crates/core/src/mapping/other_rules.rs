//! Rules that say nothing of rows on their way between relational engines: they are checked for their form.

use super::node::Node;
use super::selection::locator;
use super::{MappingError, Pattern};
use crate::{Column, TableName};

/// Compares a column by what functions make of it at either end.
#[derive(Clone, Debug)]
pub(super) struct ValidationOverride {
    pub(super) id: u64,
    schema: Pattern,
    table: Pattern,
    column: Pattern,
    pub(super) source_function: Option<String>,
    pub(super) target_function: Option<String>,
}

impl ValidationOverride {
    pub(super) fn read(rule: &Node<'_>) -> Result<Self, MappingError> {
        rule.member("rule-target").ruling_word(&[("column", ())])?;
        rule.member("rule-action")
            .ruling_word(&[("override-validation-function", ())])?;
        let locator = locator(rule)?;
        let name = |member: &str| {
            Ok::<_, MappingError>(Pattern::new(locator.member(member).filled_text()?))
        };
        let function = |member: &str| {
            let text = rule.member(member).optional_text()?;
            Ok::<_, MappingError>(text.filter(|text| !text.is_empty()).map(str::to_owned))
        };
        let read = Self {
            id: rule.rule_id(),
            schema: name("schema-name")?,
            table: name("table-name")?,
            column: name("column-name")?,
            source_function: function("source-function")?,
            target_function: function("target-function")?,
        };
        if read.source_function.is_none() && read.target_function.is_none() {
            return Err(rule
                .member("source-function")
                .fault("a source-function, a target-function or both"));
        }
        Ok(read)
    }

    pub(super) fn has(&self, table: &TableName, column: &Column) -> bool {
        self.schema.matches(&table.schema)
            && self.table.matches(&table.name)
            && self.column.matches(&column.name)
    }
}

/// Checks a rule that tags objects of an object store.
pub(super) fn check_post_processing(rule: &Node<'_>) -> Result<(), MappingError> {
    const TAGS_MAX: usize = 10;
    rule.member("rule-action").ruling_word(&[("add-tag", ())])?;
    let locator = locator(rule)?;
    locator.member("schema-name").filled_text()?;
    locator.member("table-name").filled_text()?;
    let list = rule.member("tag-set");
    let tags = list.items("an array of tags")?;
    if tags.is_empty() || tags.len() > TAGS_MAX {
        return Err(list.fault(format!("one to {TAGS_MAX} tags")));
    }
    for tag in tags {
        tag.member("key").filled_text()?;
        tag.member("value").text()?;
    }
    Ok(())
}

/// Checks a rule that makes records for streams and key-value stores.
pub(super) fn check_object_mapping(rule: &Node<'_>) -> Result<(), MappingError> {
    rule.member("rule-action")
        .ruling_word(&[("map-record-to-record", ()), ("map-record-to-document", ())])?;
    let locator = locator(rule)?;
    locator.member("schema-name").filled_text()?;
    locator.member("table-name").filled_text()?;
    rule.member("target-table-name").optional_text()?;
    rule.member("kafka-target-topic").optional_text()?;
    let parameters = rule.member("mapping-parameters");
    if parameters.is_null() {
        return Ok(());
    }
    let parameters = parameters.object("an object")?;
    let key = parameters.member("partition-key-type");
    if !key.is_null() {
        key.word(&[
            ("attribute-name", ()),
            ("schema-table", ()),
            ("transaction-id", ()),
            ("primary-key", ()),
            ("constant", ()),
        ])?;
        if key.text()? == "attribute-name" {
            parameters.member("partition-key-name").filled_text()?;
        }
    }
    for column in parameters
        .member("exclude-columns")
        .items("an array of names")?
    {
        column.filled_text()?;
    }
    for attribute in parameters
        .member("attribute-mappings")
        .items("an array of attributes")?
    {
        attribute.member("target-attribute-name").filled_text()?;
        let kind = attribute.member("attribute-type");
        if !kind.is_null() {
            kind.word(&[("scalar", ()), ("document", ())])?;
        }
    }
    Ok(())
}
