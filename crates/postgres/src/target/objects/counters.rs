use whimbrel_connector::objects::{ObjectStatement, Refused, column_at_target};
use whimbrel_core::TableName;
use whimbrel_core::objects::{
    Counter, CounterForm, NextNumber, ObjectKind, SchemaObjects, Sequence,
};

use super::{Placed, Planning};
use crate::quote::{self, identifier, literal};

/// Sequences that are no column's counter. They go to the schema of the tables beside which they were.
pub(super) fn plan_sequences(planning: &mut Planning<'_>, objects: &SchemaObjects) {
    for sequence in &objects.sequences {
        let name = place(planning, objects, sequence);
        let quoted = quote::table(&name);
        if let Some(refused) = unmade(planning, sequence, &name) {
            if planning.found.wants(ObjectKind::Sequence) {
                let name = sequence.name.to_string();
                planning.found.list("sequence", name, refused);
            }
            continue;
        }
        let create = format!("CREATE SEQUENCE {quoted} {}", options(sequence));
        let exists = format!(
            "SELECT 1 WHERE to_regclass({}) IS NOT NULL",
            literal(&quoted)
        );
        let mut statements = vec![
            in_schema(&name.schema),
            ObjectStatement::unless(create, exists),
        ];
        match sequence.next {
            NextNumber::Known(next) => {
                statements.push(set(&literal(&quoted), &quoted, next, sequence.increment));
            }
            NextNumber::UsedUp(last) => {
                statements.push(use_up(&literal(&quoted), &quoted, last, sequence.increment));
            }
            NextNumber::None | NextNumber::Hidden => {}
        }
        let owner = sequence.owner.as_ref();
        let owner = owner.and_then(|(table, column)| owned_by(planning, &name, table, column));
        statements.extend(owner);
        let step =
            planning
                .found
                .add_free(ObjectKind::Sequence, sequence.name.to_string(), statements);
        if let (Some(step), Some((table, _))) = (step, &sequence.owner) {
            step.needs.push(table.clone());
        }
    }
}

/// A schema without tables is made with what it has.
fn in_schema(schema: &str) -> ObjectStatement {
    ObjectStatement::unless(
        format!("CREATE SCHEMA {}", identifier(schema)),
        format!(
            "SELECT 1 FROM pg_namespace WHERE nspname = {}",
            literal(schema)
        ),
    )
}

/// Lets a sequence go with the column with which it goes at the source, unless it goes with one already.
fn owned_by(
    planning: &Planning<'_>,
    name: &TableName,
    table: &TableName,
    column: &str,
) -> Option<ObjectStatement> {
    let target = planning.places.table(table)?;
    let column = column_at_target(target, column, true)?;
    let quoted = quote::table(name);
    let owned = format!(
        "SELECT 1 FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = to_regclass({}) AND deptype = 'a'",
        literal(&quoted)
    );
    let own = format!(
        "ALTER SEQUENCE {quoted} OWNED BY {}.{}",
        quote::table(&target.name),
        identifier(column)
    );
    Some(ObjectStatement::unless(own, owned))
}

/// Why a sequence that belongs to nothing is not made.
fn unmade(planning: &mut Planning<'_>, sequence: &Sequence, name: &TableName) -> Option<Refused> {
    if sequence.next == NextNumber::Hidden {
        return Some(Refused::with_statement(
            "the source's user may not read it, and it must not begin anew: grant that there, and make the objects again",
            format!(
                "GRANT SELECT ON SEQUENCE {} TO …",
                quote::table(&sequence.name)
            ),
        ));
    }
    let taken = planning
        .names
        .take(&name.schema, &name.name, &sequence.name.schema);
    (taken != name.name).then(|| {
        Refused::because(format!(
            "there is something else of the name {name} among what is made"
        ))
    })
}

/// The schema that took the tables of the sequence's schema.
fn place(planning: &Planning<'_>, objects: &SchemaObjects, sequence: &Sequence) -> TableName {
    let mut beside = objects
        .tables
        .iter()
        .filter(|table| table.table.schema == sequence.name.schema);
    let schema = beside.find_map(|table| Some(&planning.places.table(&table.table)?.name.schema));
    let schema = schema.unwrap_or(&sequence.name.schema);
    TableName::new(schema, &sequence.name.name)
}

fn options(sequence: &Sequence) -> String {
    format!(
        "INCREMENT BY {} MINVALUE {} MAXVALUE {} START WITH {} CACHE {} {}",
        sequence.increment,
        sequence.min,
        sequence.max,
        sequence.start,
        sequence.cache.max(1),
        if sequence.cycles { "CYCLE" } else { "NO CYCLE" }
    )
}

/// Sets the number that comes next, unless the target's own is beyond it already. `sequence` is an expression that gives its name.
fn set(sequence: &str, name: &str, next: i64, increment: i64) -> ObjectStatement {
    let beyond = if increment > 0 { ">" } else { "<" };
    ObjectStatement::unless(
        format!("SELECT setval({sequence}, {next}, false)"),
        format!(
            "SELECT 1 FROM {name} WHERE last_value::numeric + CASE WHEN is_called THEN {increment} ELSE 0 END {beyond}= {next}"
        ),
    )
}

/// Leaves a sequence without a number to give, as it is at the source.
fn use_up(sequence: &str, name: &str, last: i64, increment: i64) -> ObjectStatement {
    let beyond = if increment > 0 { ">" } else { "<" };
    ObjectStatement::unless(
        format!("SELECT setval({sequence}, {last}, true)"),
        format!("SELECT 1 FROM {name} WHERE is_called AND last_value {beyond}= {last}"),
    )
}

/// Columns that the server numbers.
pub(super) fn plan(planning: &mut Planning<'_>, table: &Placed<'_>) {
    for counter in &table.objects.counters {
        let made = statements(table, counter);
        let step = planning.found.add(
            ObjectKind::Sequence,
            &table.objects.table,
            &counter.column,
            made,
        );
        if let Some(step) = step {
            step.note = counter.next.note();
        }
    }
}

fn statements(table: &Placed<'_>, counter: &Counter) -> Result<Vec<ObjectStatement>, Refused> {
    let column = table.column(&counter.column)?;
    let quoted = identifier(column);
    let has_default = format!(
        "SELECT 1 FROM pg_attribute WHERE attrelid = {} AND attname = {} AND (atthasdef OR attidentity <> '')",
        table.regclass(),
        literal(column)
    );
    let alter = format!("ALTER TABLE {} ALTER COLUMN {quoted}", table.name);
    let options = counter.options.as_deref().filter(|_| table.is_same_engine);
    let mut statements = Vec::new();
    match &counter.form {
        CounterForm::Serial { sequence } if table.is_same_engine => {
            let sequence = quote::table(&TableName::new(&table.target.name.schema, &sequence.name));
            let exists = format!(
                "SELECT 1 WHERE to_regclass({}) IS NOT NULL",
                literal(&sequence)
            );
            let create = format!("CREATE SEQUENCE {sequence} {}", options.unwrap_or_default());
            let default = format!(
                "{alter} SET DEFAULT nextval({}::regclass)",
                literal(&sequence)
            );
            statements.push(ObjectStatement::unless(create, exists));
            statements.push(ObjectStatement::unless(
                format!(
                    "ALTER SEQUENCE {sequence} OWNED BY {}.{quoted}; {default}",
                    table.name
                ),
                has_default,
            ));
        }
        CounterForm::Serial { .. } | CounterForm::Identity { .. } | CounterForm::AutoIncrement => {
            let identity = identity(table, counter, options)?;
            statements.push(ObjectStatement::unless(
                format!("{alter} SET NOT NULL; {alter} ADD {identity}"),
                has_default,
            ));
        }
    }
    let next = match counter.next {
        NextNumber::Known(next) => Some((next.to_string(), false)),
        NextNumber::UsedUp(last) => Some((last.to_string(), true)),
        NextNumber::None => None,
        NextNumber::Hidden => Some((behind_rows(table, &quoted, counter.increment), false)),
    };
    // Its own, or the one that its default asks.
    let sequence = format!(
        "coalesce(pg_get_serial_sequence({name}, {column}), (SELECT s.oid::regclass::text FROM pg_attrdef f \
         JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum AND a.attname = {column} \
         JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass \
         JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S' WHERE f.adrelid = {name}::regclass LIMIT 1))",
        name = literal(&table.name),
        column = literal(column)
    );
    statements.extend(
        next.map(|(number, is_given)| set_owned(&sequence, &number, is_given, counter.increment)),
    );
    Ok(statements)
}

/// The number behind those that are in a column.
fn behind_rows(table: &Placed<'_>, column: &str, increment: i64) -> String {
    let outermost = if increment > 0 { "max" } else { "min" };
    format!(
        "(SELECT {outermost}({column}) + {increment} FROM {})",
        table.name
    )
}

/// Sets the number that comes next, unless it is beyond that. The target's sequence may have any name, so it is asked for its place; a table that was
/// there before may have none. Only the sequence itself tells of a number that was set and not given to anybody yet.
///
/// `is_given`: the number is the last that there is, and nobody gets it again.
fn set_owned(sequence: &str, next: &str, is_given: bool, increment: i64) -> ObjectStatement {
    let behind = if increment > 0 { "<" } else { ">" };
    let behind = if is_given {
        format!("{behind}=")
    } else {
        behind.to_owned()
    };
    let block = format!(
        "DECLARE place text := {sequence}; present numeric; wanted bigint := {next};
BEGIN
  IF place IS NULL THEN RETURN; END IF;
  EXECUTE 'SELECT last_value::numeric + CASE WHEN is_called THEN {increment} ELSE 0 END FROM ' || place INTO present;
  IF present {behind} wanted THEN PERFORM setval(place, wanted, {is_given}); END IF;
END"
    );
    ObjectStatement::always(format!("DO {}", literal(&block)))
}

fn identity(
    table: &Placed<'_>,
    counter: &Counter,
    options: Option<&str>,
) -> Result<String, Refused> {
    let planned = table.planned(&counter.column);
    let is_whole = planned.is_some_and(|planned| {
        matches!(planned.native.as_str(), "smallint" | "integer" | "bigint")
    });
    if !is_whole {
        let native = planned.map_or("another type", |planned| planned.native.as_str());
        return Err(Refused::with_statement(
            format!(
                "only columns of type smallint, integer and bigint are numbered here, and it becomes {native}"
            ),
            format!(
                "CREATE SEQUENCE …; ALTER TABLE {} ALTER COLUMN {} SET DEFAULT nextval('…')",
                table.name,
                identifier(&counter.column)
            ),
        ));
    }
    let always = matches!(counter.form, CounterForm::Identity { is_always: true });
    let kind = if always { "ALWAYS" } else { "BY DEFAULT" };
    // The type is the column's.
    let options = options.and_then(|options| options.split_once(" INCREMENT "));
    let options = options.map_or_else(String::new, |(_, options)| {
        format!(" (INCREMENT {options})")
    });
    Ok(format!("GENERATED {kind} AS IDENTITY{options}"))
}
