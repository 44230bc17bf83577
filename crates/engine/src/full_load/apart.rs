//! Whether both ends are apart.

use std::sync::Arc;

use whimbrel_connector::{Connector, Error};
use whimbrel_core::Engine;

use super::plan::plan_full_load;
use crate::{FullLoadSpec, RunError};

/// Refuses a task that would overwrite tables while it reads them, because both ends are one database, whatever names they have. To be asked
/// before anything is written. Where it cannot be told, that is an error: the tables at stake are the source's.
pub async fn check_ends_are_apart(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    spec: &FullLoadSpec,
) -> Result<(), RunError> {
    if !are_one_database(source, target).await? {
        return Ok(());
    }
    let (source, target) = tokio::join!(source.source(), target.target());
    let mut source = source.map_err(RunError::Source)?;
    let mut target = target.map_err(RunError::Target)?;
    let plan = match plan_full_load(&mut *source, &mut *target, spec).await {
        Ok(plan) => plan,
        Err(RunError::NoTables) => return Ok(()),
        Err(error) => return Err(error),
    };
    match plan.table_read_and_written() {
        Some(name) => Err(RunError::SameDatabase(name.clone())),
        None => Ok(()),
    }
}

/// Whether two ends are one database, by what the servers say of themselves. The source is asked before and after the target: a server that was
/// started again in between says something else than before.
pub async fn are_one_database(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
) -> Result<bool, RunError> {
    let of_source = async || {
        let facts = source.check().await;
        facts.map_err(|error| RunError::Source(error.into()))
    };
    let before = of_source().await?;
    let there = target.check().await;
    let there = there.map_err(|error| RunError::Target(error.into()))?;
    let is_postgres = |engine| engine == Engine::Postgres;
    if is_postgres(before.engine) != is_postgres(there.engine) {
        return Ok(false);
    }
    let (Some(before), Some(there)) = (before.identity, there.identity) else {
        return Ok(false);
    };
    if before == there {
        return Ok(true);
    }
    if of_source().await?.identity == Some(before) {
        return Ok(false);
    }
    Err(RunError::Source(Error::Transient(
        "the source said two things of itself while it was told apart from the target: it was started again, or its address leads to several \
         servers; name one of them".to_owned(),
    )))
}
