//! What becomes of a source's objects here, and how they are made.
//!
//! Each statement stands beside a query that tells whether what it makes is there already. A statement that changes a table commits by itself and is
//! whole or not at all, so a phase that broke off goes on where it was. Texts from a source of the same engine are the server's own; everything else
//! passes through `quote`.

mod checks;
mod columns;
mod foreign_keys;
mod indexes;
mod render;
mod scripts;
mod sequences;
mod views;

pub(super) use scripts::{
    DEFAULT_WAITS, LOCK_WAIT_TIMEOUT, SHORT_WAITS, run_with, set_waits, unmake,
};

use whimbrel_connector::objects::{
    ColumnAdditions, Foreign, MadeView, NamePool, ObjectOutcome, ObjectPlan, ObjectPlanner,
    ObjectStatement, ObjectStep, Places, Refused, Taking, keeps_values, plan_scripts,
};
use whimbrel_connector::views::Converted;
use whimbrel_connector::{Error, TargetColumn, TargetTable, TaskFence};
use whimbrel_core::Engine;
use whimbrel_core::objects::{ObjectKind, ObjectSelection, SchemaObjects, TableObjects};

use super::control::{self, Held};
use crate::catalog::ColumnText;
use crate::errors::{general, of_table};
use crate::quote::{self, literal};
use crate::wire::{Connection, WireError};

/// The server's codes for a function, a collation and a sequence that it does not have.
const LACKING: [u16; 3] = [1305, 1273, 4091];
/// The longest name, in characters.
const NAME_LENGTH_MAX: usize = 64;

/// A table at both ends, with its objects.
struct Placed<'a> {
    objects: &'a TableObjects,
    target: &'a TargetTable,
    /// This server.
    engine: Engine,
    /// Its quoted name here.
    name: String,
    is_same_engine: bool,
    /// Texts of the source's SQL hold here as they are.
    takes_texts: bool,
}

impl<'a> Placed<'a> {
    fn new(objects: &'a TableObjects, target: &'a TargetTable, engine: Engine) -> Self {
        let is_same_engine = objects.engine == engine;
        Self {
            objects,
            target,
            engine,
            name: quote::table(&target.name),
            is_same_engine,
            takes_texts: is_same_engine && !whimbrel_connector::objects::renames_columns(target),
        }
    }

    /// Whether the text of the source's SQL holds here: on the same engine, unless it names what has another name here.
    fn takes_text(&self, text: &str) -> bool {
        let schema = &self.objects.table.schema;
        let is_renamed = *schema != self.target.name.schema;
        self.takes_texts && !(is_renamed && names_schema(text, schema))
    }

    /// Whether a column's values are the source's own.
    fn keeps_value(&self, name: &str) -> Result<(), String> {
        keeps_values(self.target, [name])
    }

    fn column(&self, name: &str) -> Result<&'a str, Refused> {
        let found =
            whimbrel_connector::objects::column_at_target(self.target, name, self.is_same_engine);
        found.ok_or_else(|| Refused::because(format!("its column {name} is not at the target")))
    }

    /// Quoted names of columns, with commas between.
    fn columns(&self, names: &[String]) -> Result<String, Refused> {
        let quoted = names
            .iter()
            .map(|name| self.column(name).map(quote::identifier));
        Ok(quoted.collect::<Result<Vec<_>, _>>()?.join(", "))
    }

    /// Its column as it is planned here.
    fn planned(&self, name: &str) -> Option<&'a TargetColumn> {
        let name = self.column(name).ok()?;
        self.target
            .columns
            .iter()
            .find(|column| column.name == name)
    }

    /// A condition that finds the table in the catalog.
    fn is_it(&self, schema: &str) -> String {
        format!(
            "{schema} = {} AND table_name = {}",
            literal(&self.target.name.schema),
            literal(&self.target.name.name)
        )
    }
}

/// Whether a text may name something of a schema.
fn names_schema(text: &str, schema: &str) -> bool {
    let quoted = quote::identifier(schema);
    text.contains(&format!("{schema}.")) || text.contains(&format!("{quoted}."))
}

/// A plan in the making.
struct Planning<'a> {
    found: ObjectPlanner<'a>,
    /// Of constraints.
    names: NamePool,
    /// Of indexes.
    index_names: NamePool,
    /// Of tables, views and sequences.
    table_names: NamePool,
    places: Places<'a>,
    engine: Engine,
}

/// Plans the objects of tables.
pub(super) fn plan(
    objects: &SchemaObjects,
    tables: &[TargetTable],
    wanted: &ObjectSelection,
    engine: Engine,
) -> ObjectPlan {
    let objects = &objects.clone().without_domains();
    let places = Places::new(tables);
    let length = |name: &str| name.chars().count();
    let mut described: Vec<Placed<'_>> = objects
        .tables
        .iter()
        .filter_map(|objects| Some(Placed::new(objects, places.table(&objects.table)?, engine)))
        .collect();
    // Names that are given anew must not depend on the order of the tables.
    described.sort_by(|a, b| a.objects.table.cmp(&b.objects.table));
    let mut table_names = NamePool::new(NAME_LENGTH_MAX, length);
    for table in tables {
        table_names.reserve(&table.name.schema, &table.name.name);
    }
    let mut planning = Planning {
        found: ObjectPlanner::new(wanted),
        names: NamePool::new(NAME_LENGTH_MAX, length),
        index_names: NamePool::new(NAME_LENGTH_MAX, length),
        table_names,
        places,
        engine,
    };
    sequences::plan(&mut planning, objects);
    for table in &described {
        indexes::plan(&mut planning, table);
        foreign_keys::plan(&mut planning, table, &described);
        checks::plan(&mut planning, table);
        columns::plan(&mut planning, table);
        let analyze = ObjectStatement::always(format!("ANALYZE TABLE {}", table.name));
        planning.found.add(
            ObjectKind::Statistics,
            &table.objects.table,
            "",
            Ok(vec![analyze]),
        );
    }
    let source = objects.engine();
    let made_view: fn(&Converted) -> MadeView = match engine {
        Engine::MySql => views::made_strictly,
        _ => views::made,
    };
    let taking = Taking {
        foreign: source
            .filter(|source| *source == Engine::Postgres)
            .map(|engine| Foreign {
                engine,
                view: made_view,
            }),
        may_be_refused: source != Some(engine),
        enter: Some(|schema| format!("USE {}", quote::identifier(schema))),
        name_schema: Some(scripts::on_database),
    };
    plan_scripts(&mut planning.found, objects, tables, &taking);
    let mut plan = planning.found.finish();
    plan.is_serial_by_table = true;
    plan
}

/// Makes one object.
pub(super) async fn make(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
) -> Result<ObjectOutcome, Error> {
    control::check_fence(connection, fence, Held::Now).await?;
    if let Some(script) = &step.script {
        return scripts::make(connection, step, script).await;
    }
    set_checks(connection, step.kind, Checks::On).await?;
    let made = run_all(connection, step).await;
    if connection.is_ready() {
        set_checks(connection, step.kind, Checks::Off).await?;
    }
    made
}

/// Whether rows are held to foreign keys.
#[derive(Clone, Copy)]
enum Checks {
    On,
    Off,
}

/// With the checks on, a new foreign key is held against the rows that are there.
async fn set_checks(
    connection: &mut Connection,
    kind: ObjectKind,
    checks: Checks,
) -> Result<(), Error> {
    if kind != ObjectKind::ForeignKey {
        return Ok(());
    }
    let sql = match checks {
        Checks::On => "SET SESSION foreign_key_checks = 1",
        Checks::Off => "SET SESSION foreign_key_checks = 0",
    };
    let set = connection.execute(sql).await;
    set.map(drop)
        .map_err(|error| general(error, "set the session's checks of foreign keys"))
}

/// Makes objects of one table in one statement: the server copies the table for each statement that adds a key or a check.
pub(super) async fn make_together(
    connection: &mut Connection,
    fence: &TaskFence,
    steps: &[ObjectStep],
) -> Result<Option<Vec<ObjectOutcome>>, Error> {
    control::check_fence(connection, fence, Held::Now).await?;
    let Some(joined) = Joined::of(connection, steps).await? else {
        return Ok(None);
    };
    let kind = joined.kind;
    set_checks(connection, kind, Checks::On).await?;
    let made = connection.execute(&joined.sql).await;
    if !connection.is_ready() {
        return made
            .map(|_| Some(joined.outcomes))
            .map_err(|error| general(error, "make objects"));
    }
    set_checks(connection, kind, Checks::Off).await?;
    match made {
        Ok(_) => Ok(Some(joined.outcomes)),
        Err(error) => match general(error, "make objects") {
            // Which of them it is shows when each is tried alone.
            Error::Fatal(_) => Ok(None),
            error => Err(error),
        },
    }
}

/// What several steps lack, in one statement.
struct Joined {
    kind: ObjectKind,
    sql: String,
    outcomes: Vec<ObjectOutcome>,
}

impl Joined {
    /// `None` where there is nothing to join, or something cannot be.
    async fn of(connection: &mut Connection, steps: &[ObjectStep]) -> Result<Option<Self>, Error> {
        let Some(first) = steps.first() else {
            return Ok(None);
        };
        let mut place = None;
        let mut actions = Vec::new();
        let mut outcomes = Vec::new();
        for step in steps {
            let mut outcome = ObjectOutcome::Kept;
            for statement in &step.statements {
                let sql = match needed(connection, step, statement).await {
                    Ok(Some(sql)) => sql,
                    Ok(None) => continue,
                    Err(Error::Table(_)) => return Ok(None),
                    Err(error) => return Err(error),
                };
                let Some((table, action)) = table_and_action(&sql) else {
                    return Ok(None);
                };
                if place.get_or_insert_with(|| table.to_owned()) != table {
                    return Ok(None);
                }
                actions.push(action.to_owned());
                outcome = ObjectOutcome::Made;
            }
            outcomes.push(outcome);
        }
        let place = place.filter(|_| actions.len() > 1);
        Ok(place.map(|place| Self {
            kind: first.kind,
            sql: format!("ALTER TABLE {place} {}", actions.join(", ")),
            outcomes,
        }))
    }
}

/// The table that a statement alters, quoted, and what it does to it.
fn table_and_action(sql: &str) -> Option<(&str, &str)> {
    let rest = sql.strip_prefix("ALTER TABLE ")?;
    let mut is_quoted = false;
    let end = rest.find(|c: char| {
        is_quoted ^= c == '`';
        c == ' ' && !is_quoted
    })?;
    Some((&rest[..end], &rest[end + 1..]))
}

async fn run_all(connection: &mut Connection, step: &ObjectStep) -> Result<ObjectOutcome, Error> {
    let mut outcome = ObjectOutcome::Kept;
    for statement in &step.statements {
        let Some(sql) = needed(connection, step, statement).await? else {
            continue;
        };
        if let Err(error) = run(connection, &sql).await {
            // A run that broke off may have left the server at work on the very same.
            if !connection.is_ready() || needed(connection, step, statement).await?.is_some() {
                return refused(error, step, &sql);
            }
        }
        outcome = ObjectOutcome::Made;
    }
    Ok(outcome)
}

/// What is to be run for a statement; `None` when what it makes is there already.
async fn needed(
    connection: &mut Connection,
    step: &ObjectStep,
    statement: &ObjectStatement,
) -> Result<Option<String>, Error> {
    if let Some(column) = &statement.column {
        return modified(connection, step, column).await;
    }
    let Some(query) = &statement.unless else {
        return Ok(Some(statement.sql.clone()));
    };
    let found = connection.row(query).await;
    let found = found.map_err(|error| refusal(error, step, query))?;
    Ok(found.is_none().then(|| statement.sql.clone()))
}

/// The statement that adds to a column. It is written from the column as it is: a table that was there before may have more than was planned.
async fn modified(
    connection: &mut Connection,
    step: &ObjectStep,
    column: &ColumnAdditions,
) -> Result<Option<String>, Error> {
    let table = quote::table(&column.table);
    let show = format!("SHOW CREATE TABLE {table}");
    let row = connection.row(&show).await;
    let row = row.map_err(|error| refusal(error, step, &show))?;
    let statement = row.map(|row| row.text(1).to_owned()).unwrap_or_default();
    let Some(text) = ColumnText::find(&statement, &column.name) else {
        let lost = format!("it has no column {} at the target", column.name);
        return Err(Error::table(
            step.table.as_ref().unwrap_or(&column.table),
            lost,
        ));
    };
    let name = quote::identifier(&column.name);
    let text = text.with(column);
    Ok(text.map(|text| format!("ALTER TABLE {table} MODIFY COLUMN {name} {text}")))
}

/// Some statements answer with rows, in which they may also say that they failed.
async fn run(connection: &mut Connection, sql: &str) -> Result<(), WireError> {
    if sql.starts_with("ANALYZE ") {
        let rows = connection.rows(sql).await?;
        let failed = rows
            .iter()
            .find(|row| row.text(2).eq_ignore_ascii_case("error"));
        return match failed {
            Some(row) => Err(WireError::protocol(row.text(3))),
            None => Ok(()),
        };
    }
    if sql.starts_with("SELECT ") {
        return connection.rows(sql).await.map(drop);
    }
    connection.execute(sql).await.map(drop)
}

/// What a refused statement says of its object.
fn refused(error: WireError, step: &ObjectStep, sql: &str) -> Result<ObjectOutcome, Error> {
    let (is_lacking, is_denied) = match &error {
        WireError::Server(error) => {
            let lacking = step
                .script
                .as_ref()
                .map_or(&LACKING[..], |_| &scripts::LACKING);
            (lacking.contains(&error.code), error.is_denied())
        }
        _ => (false, false),
    };
    let refusal = refusal(error, step, sql);
    let message = match &refusal {
        Error::Table(fault) => &fault.message,
        Error::Fatal(message) => message,
        _ => return Err(refusal),
    };
    if is_denied {
        Ok(ObjectOutcome::Denied(message.clone()))
    } else if is_lacking || step.may_be_refused() {
        Ok(ObjectOutcome::Lacks(message.clone()))
    } else {
        Err(refusal)
    }
}

/// The server's words, and the statement to repeat.
fn refusal(error: WireError, step: &ObjectStep, sql: &str) -> Error {
    let error = match &step.table {
        Some(table) => of_table(error, table, "make it"),
        None => general(error, "make it"),
    };
    match error {
        Error::Table(mut fault) => {
            fault.message = format!("{}; repeat with: {sql}", fault.message);
            Error::Table(fault)
        }
        Error::Fatal(message) => Error::Fatal(format!("{message}; repeat with: {sql}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_a_table_are_taken_apart_behind_its_name() {
        let sql = "ALTER TABLE `a b`.`c``d e` ADD CONSTRAINT `x` CHECK (1)";
        let parts = table_and_action(sql);
        assert_eq!(
            parts,
            Some(("`a b`.`c``d e`", "ADD CONSTRAINT `x` CHECK (1)"))
        );
        assert_eq!(table_and_action("ANALYZE TABLE `a`.`b`"), None);
        assert_eq!(table_and_action("ALTER TABLE `a b"), None);
    }
}
