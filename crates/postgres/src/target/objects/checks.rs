use whimbrel_connector::objects::{ObjectStatement, Refused, keeps_values_of_text};
use whimbrel_core::objects::{Check, ObjectKind};

use super::{Placed, Planning, render};
use crate::quote::{identifier, literal};

/// As with foreign keys, rows are looked at once the check keeps out new ones.
pub(super) fn plan(planning: &mut Planning<'_>, table: &Placed<'_>) {
    for check in &table.objects.checks {
        let name = planning.constraint_name(table, &check.name);
        let made = statements(table, check, &name);
        planning
            .found
            .add(ObjectKind::Check, &table.objects.table, &check.name, made);
    }
}

fn statements(
    table: &Placed<'_>,
    check: &Check,
    plain: &str,
) -> Result<Vec<ObjectStatement>, Refused> {
    let name = identifier(plain);
    let add = |condition: &str| {
        format!(
            "ALTER TABLE {} ADD CONSTRAINT {name} CHECK ({condition})",
            table.name
        )
    };
    keeps_values_of_text(table.target, &check.native)
        .map_err(|reason| Refused::with_statement(reason, add(&check.native)))?;
    let add = if table.takes_text(&check.native) {
        add(&check.native)
    } else {
        let refused = |reason: &str| Refused::with_statement(reason, add(&check.native));
        let condition = check
            .condition
            .as_ref()
            .ok_or_else(|| refused("its condition may mean something else here"))?;
        add(&render::condition(table, condition).map_err(|reason| refused(&reason))?)
    };
    if !check.is_enforced && !table.is_same_engine {
        return Err(Refused::with_statement(
            "the source does not hold rows to it",
            add,
        ));
    }
    let exists = format!(
        "SELECT 1 FROM pg_constraint WHERE contype = 'c' AND conrelid = {} AND conname = {}",
        table.regclass(),
        literal(plain)
    );
    if !check.is_enforced {
        return Ok(vec![ObjectStatement::unless(
            format!("{add} NOT ENFORCED"),
            exists,
        )]);
    }
    let mut statements = vec![ObjectStatement::unless(
        format!("{add} NOT VALID"),
        exists.clone(),
    )];
    if check.is_validated {
        let validate = format!("ALTER TABLE {} VALIDATE CONSTRAINT {name}", table.name);
        statements.push(ObjectStatement::unless(
            validate,
            format!("{exists} AND convalidated"),
        ));
    }
    Ok(statements)
}
