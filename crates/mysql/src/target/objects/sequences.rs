use whimbrel_connector::objects::{ObjectStatement, Refused};
use whimbrel_core::objects::{NextNumber, ObjectKind, SchemaObjects, Sequence};
use whimbrel_core::{Engine, TableName};

use super::Planning;
use crate::quote;

/// The largest number of a sequence: the one above it tells that they are used up.
const MAX: i64 = i64::MAX - 1;
const MIN: i64 = i64::MIN + 1;

/// Sequences that are no column's counter: MariaDB has them, MySQL does not.
pub(super) fn plan(planning: &mut Planning<'_>, objects: &SchemaObjects) {
    for sequence in &objects.sequences {
        let place = match place(planning, objects, sequence) {
            Ok(place) => place,
            Err(refused) => {
                if planning.found.wants(ObjectKind::Sequence) {
                    let name = sequence.name.to_string();
                    planning.found.list("sequence", name, refused);
                }
                continue;
            }
        };
        let name = quote::table(&place);
        let mut statements = vec![ObjectStatement::always(create(&name, sequence))];
        // A number that is behind the present one changes nothing.
        let set = match sequence.next {
            NextNumber::Known(next) => Some(format!("SELECT setval({name}, {next}, 0)")),
            // Nobody gets it again.
            NextNumber::UsedUp(last) => Some(format!("SELECT setval({name}, {last}, 1)")),
            NextNumber::None | NextNumber::Hidden => None,
        };
        statements.extend(set.map(ObjectStatement::always));
        planning
            .found
            .add_free(ObjectKind::Sequence, sequence.name.to_string(), statements);
    }
}

/// Its name here, in the database of the tables beside which it was; `Err`: why it is not made.
fn place(
    planning: &mut Planning<'_>,
    objects: &SchemaObjects,
    sequence: &Sequence,
) -> Result<TableName, Refused> {
    if planning.engine != Engine::MariaDb {
        return Err(Refused::because(
            "there are no sequences here: number the rows with AUTO_INCREMENT, or keep the number in a table",
        ));
    }
    if sequence.next == NextNumber::Hidden {
        return Err(Refused::because(
            "the source's user may not read it, and it must not begin anew: grant SELECT on it there, and make the objects again",
        ));
    }
    let refused = |reason: &str| Refused::with_statement(reason, create("…", sequence));
    let mut beside = objects
        .tables
        .iter()
        .filter(|table| table.table.schema == sequence.name.schema);
    let schema = beside.find_map(|table| Some(&planning.places.table(&table.table)?.name.schema));
    let schema = schema.ok_or_else(|| {
        refused("no table of its schema is migrated, by which it would belong to a database here")
    })?;
    let place = TableName::new(schema, &sequence.name.name);
    let taken = planning
        .table_names
        .take(&place.schema, &place.name, &sequence.name.schema);
    if taken != place.name {
        return Err(refused(&format!(
            "there is something else of the name {place} among what is made"
        )));
    }
    Ok(place)
}

fn create(name: &str, sequence: &Sequence) -> String {
    format!(
        "CREATE SEQUENCE IF NOT EXISTS {name} START WITH {} MINVALUE {} MAXVALUE {} INCREMENT BY {} CACHE {} {}",
        sequence.start.min(MAX),
        sequence.min.max(MIN),
        sequence.max.min(MAX),
        sequence.increment,
        sequence.cache.max(1),
        if sequence.cycles { "CYCLE" } else { "NOCYCLE" }
    )
}
