use whimbrel_connector::objects::{ObjectStatement, Refused, keeps_values_of_text};
use whimbrel_core::Engine;
use whimbrel_core::objects::{Check, ObjectKind};

use super::{Placed, Planning, render};
use crate::quote::{identifier, literal};

pub(super) fn plan(planning: &mut Planning<'_>, table: &Placed<'_>) {
    for check in &table.objects.checks {
        // MySQL tells checks of a database apart by name, MariaDB those of a table.
        let place = match table.engine {
            Engine::MariaDb => table.name.clone(),
            Engine::MySql | Engine::Postgres => format!("checks of {}", table.target.name.schema),
        };
        let name = planning
            .names
            .take(&place, &check.name, &table.target.name.name);
        let made = statement(table, check, &name);
        let step = planning
            .found
            .add(ObjectKind::Check, &table.objects.table, &check.name, made);
        if let Some(step) = step.filter(|_| check.name != name) {
            step.note = Some(format!("its name here is {name}"));
        }
    }
}

fn statement(
    table: &Placed<'_>,
    check: &Check,
    name: &str,
) -> Result<Vec<ObjectStatement>, Refused> {
    let quoted = identifier(name);
    let add = |condition: &str| {
        format!(
            "ALTER TABLE {} ADD CONSTRAINT {quoted} CHECK ({condition})",
            table.name
        )
    };
    keeps_values_of_text(table.target, &check.native)
        .map_err(|reason| Refused::with_statement(reason, add(&check.native)))?;
    let mut sql = if table.takes_text(&check.native) {
        add(&check.native)
    } else {
        let refused = |reason: &str| Refused::with_statement(reason, add(&check.native));
        let condition = check
            .condition
            .as_ref()
            .ok_or_else(|| refused("its condition may mean something else here"))?;
        add(&render::condition(table, condition).map_err(|reason| refused(&reason))?)
    };
    if !check.is_enforced && table.engine == Engine::MySql {
        sql.push_str(" NOT ENFORCED");
    }
    if (!check.is_enforced && table.engine != Engine::MySql) || !check.is_validated {
        return Err(Refused::with_statement(
            "the source does not hold all rows to it",
            sql,
        ));
    }
    let of_table = match table.engine {
        Engine::MariaDb => table.is_it("constraint_schema"),
        Engine::MySql | Engine::Postgres => {
            format!("constraint_schema = {}", literal(&table.target.name.schema))
        }
    };
    let exists = format!(
        "SELECT 1 FROM information_schema.check_constraints WHERE {of_table} AND constraint_name = {}",
        literal(name)
    );
    Ok(vec![ObjectStatement::unless(sql, exists)])
}
