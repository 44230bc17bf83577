//! What a migration will do, before anything is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use whimbrel_connector::{Connector, Source, Target};
use whimbrel_core::TableName;
use whimbrel_engine::{FullLoadSpec, LoadPlan, RunError, plan_full_load};

use crate::address::Address;
use crate::failure::Failure;
use crate::progress::TableFacts;

/// Both ends, connected, and the plan.
pub(super) struct Survey {
    pub(super) source: Box<dyn Source>,
    pub(super) target: Box<dyn Target>,
    pub(super) plan: LoadPlan,
}

impl Survey {
    /// Connects both ends and plans. Writes nothing, and tries nothing twice: a wrong address shows at once.
    pub(super) async fn take(
        source: &Arc<dyn Connector>,
        target: &Arc<dyn Connector>,
        spec: &FullLoadSpec,
    ) -> Result<Self, Failure> {
        let (source, target) = tokio::join!(source.source(), target.target());
        let mut source = source.map_err(RunError::Source)?;
        let mut target = target.map_err(RunError::Target)?;
        let plan = plan_full_load(&mut *source, &mut *target, spec).await?;
        Ok(Self {
            source,
            target,
            plan,
        })
    }

    /// Refuses a migration that would write into the very tables that it reads.
    pub(super) fn check_ends_are_apart(
        &self,
        source: &Address,
        target: &Address,
    ) -> Result<(), Failure> {
        if source.place() != target.place() {
            return Ok(());
        }
        let read: BTreeSet<&TableName> = self
            .plan
            .tables
            .iter()
            .map(|table| &table.source.name)
            .collect();
        let written = self
            .plan
            .tables
            .iter()
            .filter_map(|table| table.target.as_ref().ok());
        match written.map(|table| &table.name).find(|name| read.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Failure::usage(format!(
                "source and target are the same server, and {name} would be read and written at once"
            ))
            .with_help("name another target, or other names there with --target-schema or --rename-schema")),
        }
    }

    /// Names at the target and notes, for the display.
    pub(super) fn facts(&self) -> BTreeMap<TableName, TableFacts> {
        let facts = self.plan.tables.iter().map(|table| {
            let facts = match &table.target {
                Ok(target) => TableFacts {
                    target: Some(target.name.clone()),
                    notes: target.notes.clone(),
                    rows_before: 0,
                },
                Err(_) => TableFacts::default(),
            };
            (table.source.name.clone(), facts)
        });
        facts.collect()
    }
}
