//! What a migration will do, before anything is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use whimbrel_connector::{Connector, Source, Target};
use whimbrel_core::TableName;
use whimbrel_engine::{FullLoadSpec, LoadPlan, RunError, are_one_database, plan_full_load};

use crate::address::Address;
use crate::failure::Failure;
use crate::progress::TableFacts;

/// An end by its address and its connector.
pub(super) type End<'a> = (&'a Address, &'a Arc<dyn Connector>);

/// Whether two addresses lead to one database: by their words, or else by what the servers say of themselves, since one server may have
/// many names.
async fn are_one(
    (source_address, source): End<'_>,
    (target_address, target): End<'_>,
) -> Result<bool, Failure> {
    if source_address.place() == target_address.place() {
        return Ok(true);
    }
    Ok(are_one_database(source, target).await?)
}

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
    pub(super) async fn check_ends_are_apart(
        &self,
        source: End<'_>,
        target: End<'_>,
    ) -> Result<(), Failure> {
        let Some(name) = self.plan.table_read_and_written() else {
            return Ok(());
        };
        if !are_one(source, target).await? {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "source and target are the same database, and {name} would be read and written at once"
        ))
        .with_help(
            "name another target, or other names there with --target-schema or --rename-schema",
        ))
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
