//! Settings of single tables: how they are loaded in parallel, and what becomes of large objects.

use super::MappingError;
use super::node::Node;
use super::selection::locator;
use crate::TableName;

const EXACT: &str = "Exact schema and table name required when using table settings rule.";
const RANGE_COLUMNS_MAX: usize = 10;

/// Settings of one table.
#[derive(Clone, Debug)]
pub(super) struct TableSettings {
    pub(super) id: u64,
    /// Where the rule stands in the document.
    pub(super) path: String,
    pub(super) table: TableName,
    pub(super) parallel_load: Option<ParallelLoad>,
    pub(super) lob: Option<LobMode>,
}

/// In which segments a table is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParallelLoad {
    /// One segment.
    None,
    /// Each partition is a segment.
    Partitions,
    /// Each subpartition is a segment.
    Subpartitions,
    /// Only these partitions are loaded, each as a segment.
    PartitionList {
        /// Names of partitions.
        partitions: Vec<String>,
        /// Names of subpartitions.
        subpartitions: Vec<String>,
    },
    /// Segments end at boundaries.
    Ranges(Ranges),
}

/// Segments between boundaries: one more than there are boundaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// Names of columns, one to ten.
    pub columns: Vec<String>,
    /// For each boundary a literal for each column.
    pub boundaries: Vec<Vec<String>>,
}

/// What becomes of large objects of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LobMode {
    /// They are cut after so many bytes.
    Limited {
        /// The most that is kept.
        bytes_max: u64,
    },
    /// They are migrated as they are. Those of more bytes than this may be fetched one by one.
    Unlimited {
        /// The most that travels with the row; 0: none.
        inline_bytes_max: u64,
    },
    /// Columns that hold them are not migrated.
    None,
}

#[derive(Clone, Copy)]
enum LoadType {
    None,
    Partitions,
    Subpartitions,
    PartitionList,
    Ranges,
}

#[derive(Clone, Copy)]
enum LobWord {
    Limited,
    Unlimited,
    None,
}

impl TableSettings {
    pub(super) fn read(rule: &Node<'_>) -> Result<Self, MappingError> {
        let locator = locator(rule)?;
        let name = |member: &str| {
            let node = locator.member(member);
            let text = node.text().unwrap_or_default();
            if text.is_empty() || text.contains('%') {
                return Err(node.fault_saying(EXACT, "a name without %"));
            }
            Ok(text.to_owned())
        };
        Ok(Self {
            id: rule.rule_id(),
            path: rule.path().to_owned(),
            table: TableName::new(name("schema-name")?, name("table-name")?),
            parallel_load: read_parallel_load(&rule.member("parallel-load"))?,
            lob: read_lob(&rule.member("lob-settings"))?,
        })
    }
}

fn read_parallel_load(node: &Node<'_>) -> Result<Option<ParallelLoad>, MappingError> {
    if node.is_null() {
        return Ok(None);
    }
    let node = node.clone().object("an object with the member type")?;
    let kind = node.member("type").word(&[
        ("none", LoadType::None),
        ("partitions-auto", LoadType::Partitions),
        ("subpartitions-auto", LoadType::Subpartitions),
        ("partitions-list", LoadType::PartitionList),
        ("ranges", LoadType::Ranges),
    ])?;
    // What sources of documents have beside it; nothing of it changes which rows arrive.
    node.member("number-of-partitions")
        .optional_count(1, u64::MAX)?;
    node.member("collection-count-from-metadata")
        .optional_flag()?;
    node.member("max-records-skip-per-page")
        .optional_count(0, u64::MAX)?;
    node.member("batch-size").optional_count(0, u64::MAX)?;
    Ok(Some(match kind {
        LoadType::None => ParallelLoad::None,
        LoadType::Partitions => ParallelLoad::Partitions,
        LoadType::Subpartitions => ParallelLoad::Subpartitions,
        LoadType::PartitionList => {
            let (partitions, subpartitions) = (
                names(&node.member("partitions"))?,
                names(&node.member("subpartitions"))?,
            );
            if partitions.is_empty() && subpartitions.is_empty() {
                let list = node.member("partitions");
                return Err(list.fault("names of partitions here or in subpartitions"));
            }
            ParallelLoad::PartitionList {
                partitions,
                subpartitions,
            }
        }
        LoadType::Ranges => ParallelLoad::Ranges(read_ranges(&node)?),
    }))
}

fn names(list: &Node<'_>) -> Result<Vec<String>, MappingError> {
    let items = list.items("an array of names")?;
    let names = items
        .iter()
        .map(|item| item.filled_text().map(str::to_owned));
    names.collect()
}

fn read_ranges(node: &Node<'_>) -> Result<Ranges, MappingError> {
    let list = node.member("columns");
    let columns = names(&list)?;
    if columns.is_empty() || columns.len() > RANGE_COLUMNS_MAX {
        return Err(list.fault(format!("one to {RANGE_COLUMNS_MAX} names of columns")));
    }
    let list = node.member("boundaries");
    let mut boundaries = Vec::new();
    for boundary in list.items("an array of boundaries")? {
        let literals = boundary.items("a boundary: an array of texts")?;
        if literals.len() != columns.len() {
            return Err(boundary.fault(format!("{} values, one for each column", columns.len())));
        }
        let literals = literals.iter().map(Node::literal);
        boundaries.push(literals.collect::<Result<Vec<_>, _>>()?);
    }
    if boundaries.is_empty() {
        return Err(list.fault("at least one boundary"));
    }
    Ok(Ranges {
        columns,
        boundaries,
    })
}

fn read_lob(node: &Node<'_>) -> Result<Option<LobMode>, MappingError> {
    /// Large objects are counted in kilobytes.
    const KILOBYTE: u64 = 1024;
    const KILOBYTES_MAX: u64 = u64::MAX / KILOBYTE;
    if node.is_null() {
        return Ok(None);
    }
    let node = node.clone().object("an object")?;
    let mode = node.member("mode");
    let mode = if mode.is_null() {
        LobWord::Limited
    } else {
        mode.word(&[
            ("limited", LobWord::Limited),
            ("unlimited", LobWord::Unlimited),
            ("none", LobWord::None),
        ])?
    };
    let size = node.member("bulk-max-size");
    Ok(Some(match mode {
        LobWord::Limited => LobMode::Limited {
            bytes_max: size.count(1, KILOBYTES_MAX)? * KILOBYTE,
        },
        LobWord::Unlimited => LobMode::Unlimited {
            inline_bytes_max: size.optional_count(0, KILOBYTES_MAX)?.unwrap_or(0) * KILOBYTE,
        },
        LobWord::None => LobMode::None,
    }))
}
