//! That no two tasks write into one table: which tables of the target a task feeds with changes is noted there, and whoever would write into one
//! of another task is refused before it has changed anything. What a load that is not followed writes is not noted: when it breaks off,
//! another may begin in its place.

use whimbrel_connector::{FedTable, Feeding, PrepareMode, Target, TaskFence};
use whimbrel_core::{Table, TableName};

use crate::{FullLoadSpec, RunError};

/// The names that tables of the source have at the target.
fn names(load: &FullLoadSpec, tables: &[Table]) -> Vec<TableName> {
    let names = tables.iter();
    names.map(|table| load.target_name(&table.name)).collect()
}

fn refused(task: &str, mut fed: Vec<FedTable>) -> Result<(), RunError> {
    if fed.is_empty() {
        return Ok(());
    }
    let more_count = fed.len() - 1;
    Err(RunError::FedByAnother {
        task: task.to_owned(),
        fed: fed.swap_remove(0),
        more_count,
    })
}

/// Sees that a load leaves alone what others have written into tables that the task shares.
pub(crate) fn check_prepare(load: &FullLoadSpec) -> Result<(), RunError> {
    let removes = load.prepare != PrepareMode::DoNothing;
    if load.feeding == Feeding::Together && removes {
        return Err(RunError::SharedAndPrepared);
    }
    Ok(())
}

/// Sees that no other task feeds the tables. Writes nothing.
pub(crate) async fn check(
    target: &mut dyn Target,
    load: &FullLoadSpec,
    tables: &[Table],
) -> Result<(), RunError> {
    let wanted = names(load, tables);
    let fed = target.fed_by_others(&load.task, &wanted, load.feeding);
    let fed = fed.await;
    refused(&load.task, fed.map_err(RunError::Target)?)
}

/// Notes that the task feeds the tables, and no others.
pub(crate) async fn take(
    target: &mut dyn Target,
    fence: &TaskFence,
    load: &FullLoadSpec,
    tables: &[Table],
) -> Result<(), RunError> {
    let fed = target.feed(fence, &names(load, tables), load.feeding).await;
    refused(&load.task, fed.map_err(RunError::Target)?)
}

/// Notes that the task feeds the tables as far as no other does, and answers those that others do, by their names at the source and with the
/// reason.
pub(crate) async fn take_what_is_free(
    target: &mut dyn Target,
    fence: &TaskFence,
    load: &FullLoadSpec,
    mut tables: Vec<Table>,
) -> Result<Vec<(TableName, String)>, RunError> {
    let mut taken = Vec::new();
    loop {
        let wanted = names(load, &tables);
        let fed = target.feed(fence, &wanted, load.feeding);
        let fed = fed.await;
        let fed = fed.map_err(RunError::Target)?;
        if fed.is_empty() {
            return Ok(taken);
        }
        for other in fed {
            let is_it = |table: &mut Table| load.target_name(&table.name) == other.table;
            let others = tables.extract_if(.., is_it);
            taken.extend(others.map(|table| (table.name, reason(&other))));
        }
    }
}

/// The way past for those who know what they do.
const TOGETHER: &str =
    "; or, where each task writes rows of its own, let all of them say so (SharedTargetTables)";

fn reason(other: &FedTable) -> String {
    format!(
        "task {} feeds {} at the target with changes; end that task, or give the table another name at the target, and load it again{TOGETHER}",
        other.task, other.table
    )
}
