//! Values that the columns of the target do not hold, found before any row is sent.
//!
//! The source's server counts them, one statement for each table: nothing but counts, extremes and the key of one row comes here. Columns whose
//! cells rules hide, cut or make anew are not looked at; rows that rules leave out are, and a finding says so.

use whimbrel_connector::{
    Bounds, Concern, Error, Findings, Measured, Misfit, Source, Target, TargetTable,
};
use whimbrel_core::{Engine, shown_key};

use super::Values;
use super::needs::needed;
use crate::shaping::Shaped;
use crate::{FullLoadSpec, LoadPlan};

/// The check that looks at some rows of each table.
pub const SAMPLED: &str = "values-not-fitting-sampled";
/// The check that looks at all rows.
pub const ALL: &str = "values-not-fitting";

/// Looks at the tables one after the other.
pub(super) async fn look(
    (source, target): (&mut dyn Source, &mut dyn Target),
    (plan, spec): (&LoadPlan, &FullLoadSpec),
    values: Values,
) -> Findings {
    let mut findings = Findings::default();
    let wanted = [
        (ALL, values.all, None),
        (SAMPLED, values.sampled.is_some(), values.sampled),
    ];
    for (check, is_wanted, rows) in wanted {
        if !is_wanted {
            continue;
        }
        let check = [check, CUT];
        findings.note(&check, Ok(Vec::new()));
        for table in &plan.tables {
            let Ok(planned) = &table.target else { continue };
            match misfits((source, target), planned, spec, rows).await {
                Ok(misfits) => {
                    let told = misfits
                        .into_iter()
                        .map(|misfit| told((check[0], spec), planned, misfit));
                    findings.concerns.extend(told);
                }
                Err(error) => findings.cannot(check[0], of_table(planned, error)),
            }
            match cut(source, planned, spec, rows).await {
                Ok(misfits) => {
                    let told = misfits.into_iter().map(|misfit| told_cut(planned, misfit));
                    findings.concerns.extend(told);
                }
                Err(error) => findings.cannot(CUT, of_table(planned, error)),
            }
        }
    }
    // What a sample shows of cut values is among what all rows show.
    let mut seen = std::collections::HashSet::new();
    findings
        .concerns
        .retain(|concern| concern.check != CUT || seen.insert(concern.object.clone()));
    findings
}

fn of_table(planned: &TargetTable, error: Error) -> String {
    format!("table {}: {}", planned.source.name, without_name(error))
}

/// Values that the settings or rules of large objects cut.
async fn cut(
    source: &mut dyn Source,
    planned: &TargetTable,
    spec: &FullLoadSpec,
    rows: Option<u64>,
) -> Result<Vec<Misfit>, Error> {
    let Some(shape) = spec.shaper().of(&planned.source)? else {
        return Ok(Vec::new());
    };
    let columns = planned.source.loaded_columns().filter_map(|column| {
        let bytes_max = shape.cut_after(planned.column_of(&column.name)?)?;
        Some(Measured {
            column: column.name.clone(),
            bounds: Bounds {
                bytes_max: Some(bytes_max),
                ..Bounds::default()
            },
        })
    });
    let columns: Vec<Measured> = columns.collect();
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let misfits = source.misfits(&planned.source, &columns, rows).await?;
    Ok(shown(misfits, Some(&shape)))
}

/// Without keys that rules hide, and with as much of the others as a line bears.
fn shown(mut misfits: Vec<Misfit>, shape: Option<&Shaped>) -> Vec<Misfit> {
    let is_hidden = shape.is_some_and(Shaped::hides_key);
    for misfit in &mut misfits {
        let key = misfit.key.take().filter(|_| !is_hidden);
        misfit.key = key.map(|key| shown_key(&key).into_owned());
    }
    misfits
}

fn rows_have(count: u64) -> &'static str {
    if count == 1 { "row has" } else { "rows have" }
}

/// Names one of the rows.
fn of_key(key: Option<String>) -> String {
    key.map_or_else(String::new, |key| format!(", such as that of key {key}"))
}

fn told_cut(planned: &TargetTable, misfit: Misfit) -> Concern {
    let Misfit {
        column,
        what,
        row_count,
        extreme,
        key,
    } = misfit;
    let rows = rows_have(row_count);
    let key = of_key(key);
    Concern::new(
        CUT,
        format!("{}.{column}", planned.source.name),
        format!("{row_count} {rows} {what} ({extreme}){key}, after which values end at the target"),
        "raise LobMaxSize (or the bulk-max-size of the table's lob-settings), or leave it out, so that values of any size travel whole",
    )
}

/// Where large objects are limited: values that are longer.
const CUT: &str = "postgres-check-limited-lob-size";

fn without_name(error: Error) -> String {
    match error {
        Error::Table(fault) => fault.message,
        error => error.to_string(),
    }
}

async fn misfits(
    (source, target): (&mut dyn Source, &mut dyn Target),
    planned: &TargetTable,
    spec: &FullLoadSpec,
    rows: Option<u64>,
) -> Result<Vec<Misfit>, Error> {
    let bounds = target.bounds(planned, super::keeps_tables(spec)).await?;
    let measured = measured(planned, (spec, target.engine()), &bounds)?;
    if measured.is_empty() {
        return Ok(Vec::new());
    }
    let shape = spec.shaper().of(&planned.source)?;
    let misfits = source.misfits(&planned.source, &measured, rows).await?;
    Ok(shown(misfits, shape.as_deref()))
}

/// The columns of the source that have something to fit.
fn measured(
    planned: &TargetTable,
    (spec, target): (&FullLoadSpec, Engine),
    bounds: &[Bounds],
) -> Result<Vec<Measured>, Error> {
    let shape = spec.shaper().of(&planned.source)?;
    let keeps_types = planned.source.engine == target && !super::keeps_tables(spec);
    let mut measured = Vec::new();
    for column in planned.source.loaded_columns() {
        let Some(place) = planned.column_of(&column.name) else {
            continue;
        };
        let hides = shape
            .as_ref()
            .is_some_and(|shape| !shape.keeps_measure(place));
        let (Some(to), Some(bounds)) = (planned.columns.get(place), bounds.get(place)) else {
            continue;
        };
        if hides || keeps_types && to.native == column.native {
            continue;
        }
        let bounds = needed(&column.ty, bounds);
        if !bounds.is_none() {
            measured.push(Measured {
                column: column.name.clone(),
                bounds,
            });
        }
    }
    Ok(measured)
}

fn told(
    (check, spec): (&'static str, &FullLoadSpec),
    planned: &TargetTable,
    misfit: Misfit,
) -> Concern {
    let Misfit {
        column,
        what,
        row_count,
        extreme,
        key,
    } = misfit;
    let place = planned.column_of(&column);
    let made = place.and_then(|place| planned.columns.get(place));
    let to = match made {
        // One that is there may have another type.
        Some(column) if !super::keeps_tables(spec) => format!("the target's {}", column.native),
        _ => "the column at the target".to_owned(),
    };
    let rows = rows_have(row_count);
    let extreme = match extreme.as_str() {
        "" => String::new(),
        extreme => format!(" ({extreme})"),
    };
    let key = of_key(key);
    let left_out = if planned.leaves_out_rows() {
        "; rows that rules leave out are counted too"
    } else {
        ""
    };
    let message =
        format!("{row_count} {rows} {what}{extreme}{key}, which {to} does not hold{left_out}");
    Concern::new(
        check,
        format!("{}.{column}", planned.source.name),
        message,
        "change the values at the source, choose a type for the column that holds them by a transformation rule with change-data-type, or leave the rows out by a filter",
    )
}
