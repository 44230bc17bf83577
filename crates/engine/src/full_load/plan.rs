use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use tracing::{info, warn};
use whimbrel_connector::{Error, Source, TableFault, Target, TargetTable, TypeDefinition};
use whimbrel_core::mapping::{TableKind, TableMappings, Unmatched};
use whimbrel_core::{Engine, Table, TableName};

use super::segments::Split;
use crate::progress::MISSING;
use crate::{FullLoadSpec, Progress, RunError};

/// A table and what becomes of it.
#[derive(Clone, Debug)]
pub struct PlannedTable {
    /// As the source describes it.
    pub source: Table,
    /// As the target will have it; `Err` says why it cannot be.
    pub target: Result<TargetTable, String>,
    /// How it is split into chunks.
    pub split: Split,
    /// It is no table at the source, but a view.
    pub is_view: bool,
}

impl PlannedTable {
    /// The columns that the source computes and a target of this engine is not given.
    pub(crate) fn not_created(&self, target: Engine) -> Vec<String> {
        if self.source.engine == target {
            return Vec::new();
        }
        let computed = self
            .source
            .columns
            .iter()
            .filter(|column| !column.is_loaded());
        computed.map(|column| column.name.clone()).collect()
    }
}

const FOLLOWED_VIEW: &str = "it is a view, and no log tells what changes in it; exclude it, or load it by a task that does not follow changes";
const BROKEN_VIEW: &str = "it is a view that names tables, columns or a definer that are not there, or that the user may not see; mend it, or exclude it";

/// What a full load will do, before anything is done.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// The tables in the order in which their loads start.
    pub tables: Vec<PlannedTable>,
    /// Types to be made first on a target of the same engine.
    pub types: Vec<TypeDefinition>,
    /// Rules that find nothing at the source.
    pub unmatched: Unmatched,
}

impl LoadPlan {
    /// A table that would be read and written at once, were both ends one database.
    pub fn table_read_and_written(&self) -> Option<&TableName> {
        let read: HashSet<&TableName> =
            self.tables.iter().map(|table| &table.source.name).collect();
        let mut written = self
            .tables
            .iter()
            .filter_map(|table| Some(&table.target.as_ref().ok()?.name));
        written.find(|name| read.contains(name))
    }
}

/// Reads the source's catalog and plans the target's tables. Writes nothing.
///
/// Tables with a load order come first, higher first; then the largest, so that the longest load does not begin last.
pub async fn plan_full_load(
    source: &mut dyn Source,
    target: &mut dyn Target,
    spec: &FullLoadSpec,
) -> Result<LoadPlan, RunError> {
    // All of the task, though some of them alone may be loaded: none of these may take the place of another at the target.
    let found = Found::at(source, &spec.mappings).await;
    let Found {
        mut tables,
        views,
        unmatched,
    } = found.map_err(RunError::Source)?;
    let are_views: HashSet<TableName> = views.iter().map(|view| view.name.clone()).collect();
    tables.extend(views);
    tables.sort_by_key(|table| {
        let order = spec.mappings.load_order(&table.name).unwrap_or(0);
        (
            Reverse(order),
            Reverse(table.byte_estimate.unwrap_or(0)),
            table.name.clone(),
        )
    });
    let mut planned: Vec<PlannedTable> = Vec::new();
    for table in tables {
        let is_view = are_views.contains(&table.name);
        planned.push(plan_one((source, target), spec, table, is_view).await?);
    }
    let folds_names = target.folds_names().await.map_err(RunError::Target)?;
    refuse_shared_targets(&mut planned, folds_names);
    planned.retain(|table| spec.selects(&table.source.name));
    if planned.is_empty() && spec.fails_without_tables {
        return Err(RunError::NoTables);
    }
    let tables: Vec<Table> = planned.iter().map(|table| table.source.clone()).collect();
    let types = match tables.first() {
        Some(first) if first.engine == target.engine() => source
            .type_definitions(&tables)
            .await
            .map_err(RunError::Source)?,
        _ => Vec::new(),
    };
    Ok(LoadPlan {
        tables: planned,
        types,
        unmatched,
    })
}

/// Plans one table. What does not fit it is its error; what befalls the source is everyone's.
async fn plan_one(
    (source, target): (&mut dyn Source, &mut dyn Target),
    spec: &FullLoadSpec,
    table: Table,
    is_view: bool,
) -> Result<PlannedTable, RunError> {
    let planned = match unfollowable(&table) {
        _ if is_view && table.columns.is_empty() => Err(Error::table(&table.name, BROKEN_VIEW)),
        _ if is_view && spec.is_followed => Err(Error::table(&table.name, FOLLOWED_VIEW)),
        Some(fault) if spec.is_followed => Err(Error::Table(Box::new(fault))),
        _ if spec.is_followed => spec
            .untellable(&table)
            .and_then(|()| spec.plan_table(&table, target)),
        _ => spec.plan_table(&table, target),
    };
    let split = if planned.is_ok() {
        Split::of(source, spec, &table, is_view).await
    } else {
        Ok(Split::Bytes)
    };
    let (planned, split) = match split {
        Ok(split) => (planned, split),
        Err(error @ (Error::Table(_) | Error::Row(_))) => (Err(error), Split::Bytes),
        Err(error) => return Err(RunError::Source(error)),
    };
    let target = planned.map_err(|error| match error {
        Error::Table(fault) => fault.message,
        other => other.to_string(),
    });
    Ok(PlannedTable {
        source: table,
        target,
        split,
        is_view,
    })
}

/// What table mappings find at a source.
pub(crate) struct Found {
    /// Its tables that are selected.
    pub(crate) tables: Vec<Table>,
    /// Its views that are selected.
    pub(crate) views: Vec<Table>,
    /// What finds nothing.
    pub(crate) unmatched: Unmatched,
}

impl Found {
    pub(crate) async fn at(
        source: &mut dyn Source,
        mappings: &TableMappings,
    ) -> Result<Self, Error> {
        let inclusions = mappings.watched_inclusions();
        let selects = |name: &TableName, kind: TableKind| {
            inclusions.see(name, kind);
            mappings.selects_kind(name, kind)
        };
        let selects_table = |name: &TableName| selects(name, TableKind::Table);
        let tables = source.tables(&selects_table).await?;
        let views = if mappings.asks_for_views() {
            let selects_view = |name: &TableName| selects(name, TableKind::View);
            source.views(&selects_view).await?
        } else {
            Vec::new()
        };
        Ok(Self {
            tables,
            views,
            unmatched: inclusions.unmatched(),
        })
    }
}

/// Tells, once at the beginning of a run, what rules name and the source does not have, or does not show. Later such a table may have been
/// dropped, as the log says.
pub(crate) fn tell_unmatched(unmatched: &Unmatched, spec: &FullLoadSpec, progress: &Progress) {
    let task = &spec.task;
    // Whoever watches is shown the tables.
    for name in &unmatched.names {
        info!(task, table = %name, "{MISSING}");
    }
    for pattern in &unmatched.patterns {
        warn!(task, %pattern, "a rule includes tables by a pattern that no table of the source matches");
    }
    progress.miss(&unmatched.names);
}

/// Refuses a table that is to be loaded and then followed, when nobody can tell which changes the loaded rows hold.
pub(crate) fn unfollowable(table: &Table) -> Option<TableFault> {
    let why = table.outside_snapshot.as_ref()?;
    Some(TableFault {
        table: table.name.clone(),
        message: format!("{why}, or load it without following its changes"),
    })
}

/// Two source tables must not flow into one target table: the second to be prepared would wipe out the first.
fn refuse_shared_targets(planned: &mut [PlannedTable], folds_names: bool) {
    let place = |name: &TableName| {
        if folds_names {
            TableName::new(name.schema.to_lowercase(), name.name.to_lowercase())
        } else {
            name.clone()
        }
    };
    let mut sources: HashMap<TableName, Vec<TableName>> = HashMap::new();
    for table in planned.iter() {
        if let Ok(target) = &table.target {
            let sharing = sources.entry(place(&target.name)).or_default();
            sharing.push(table.source.name.clone());
        }
    }
    for table in planned {
        let Ok(target) = &table.target else { continue };
        let sharing = &sources[&place(&target.name)];
        if sharing.len() > 1 {
            let others: Vec<String> = sharing
                .iter()
                .filter(|name| **name != table.source.name)
                .map(ToString::to_string)
                .collect();
            let why = if folds_names {
                " (names that differ in case alone are one to this server)"
            } else {
                ""
            };
            table.target = Err(format!(
                "the target table {} would also receive {}{why}; change the renaming rules so that each table has its own",
                target.name,
                others.join(", ")
            ));
        }
    }
}
