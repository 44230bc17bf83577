//! What becomes of a source's objects here, and how they are made.
//!
//! Each statement stands beside a query that tells whether what it makes is there already, so that a phase which broke off goes on where it was, and what a
//! user made before stays. Texts from a PostgreSQL source are the server's own, with all names qualified; everything else passes through `quote`.

mod checks;
mod columns;
mod counters;
mod foreign_keys;
mod indexes;
mod render;
mod scripts;
mod views;

pub(super) use scripts::unmake;

use whimbrel_connector::objects::{
    Foreign, NamePool, ObjectOutcome, ObjectPlan, ObjectPlanner, ObjectStatement, ObjectStep,
    Places, Refused, Taking, keeps_values, plan_scripts,
};
use whimbrel_connector::{Error, TargetTable, TaskFence};
use whimbrel_core::Engine;
use whimbrel_core::objects::{ObjectKind, ObjectSelection, SchemaObjects, TableObjects};

use self::scripts::Place;
use super::control::{self, Held};
use crate::errors::general;
use crate::quote::{self, literal};
use crate::wire::Connection;

/// `NAMEDATALEN` less the closing NUL.
const NAME_BYTES_MAX: usize = 63;
/// Sorts of a few million entries stay in memory, and any server can spare it.
const SETTINGS: &str =
    "SET maintenance_work_mem = '256MB'; SET lock_timeout = 0; SET check_function_bodies = off";
/// What is made by a text is made without anybody's having to wait long behind it.
const SCRIPT_LOCK_TIMEOUT: &str = "SET lock_timeout = '60s'";

/// A table at both ends, with its objects.
struct Placed<'a> {
    objects: &'a TableObjects,
    target: &'a TargetTable,
    /// Its quoted name here.
    name: String,
    is_same_engine: bool,
    /// Texts of the source's SQL hold here as they are.
    takes_texts: bool,
}

impl<'a> Placed<'a> {
    fn new(objects: &'a TableObjects, target: &'a TargetTable) -> Self {
        let is_same_engine = objects.engine == Engine::Postgres;
        Self {
            objects,
            target,
            name: quote::table(&target.name),
            is_same_engine,
            takes_texts: is_same_engine && !whimbrel_connector::objects::renames_columns(target),
        }
    }

    /// The table's number, for queries of the catalog.
    fn regclass(&self) -> String {
        format!("{}::regclass", literal(&self.name))
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
    fn planned(&self, name: &str) -> Option<&'a whimbrel_connector::TargetColumn> {
        let name = self.column(name).ok()?;
        self.target
            .columns
            .iter()
            .find(|column| column.name == name)
    }
}

/// Whether a text may name something of a schema. Types are made under their own names, so that casts to them hold.
fn names_schema(text: &str, schema: &str) -> bool {
    let quoted = quote::identifier(schema);
    let names = |name: &str| {
        let text = text.replace(&format!("::{name}."), "::");
        text.contains(&format!("{name}."))
    };
    names(schema) || names(&quoted)
}

/// A plan in the making.
struct Planning<'a> {
    found: ObjectPlanner<'a>,
    names: NamePool,
    places: Places<'a>,
}

impl Planning<'_> {
    /// A name for a constraint of a table, which has one set of them. Elsewhere keys and checks may share a name.
    fn constraint_name(&mut self, table: &Placed<'_>, name: &str) -> String {
        if table.is_same_engine {
            return name.to_owned();
        }
        let place = format!("constraints of {}", table.name);
        self.names.take(&place, name, &table.target.name.name)
    }
}

/// Plans the objects of tables.
pub(super) fn plan(
    objects: &SchemaObjects,
    tables: &[TargetTable],
    wanted: &ObjectSelection,
) -> ObjectPlan {
    let places = Places::new(tables);
    let mut names = NamePool::new(NAME_BYTES_MAX, str::len);
    for table in tables {
        // Tables, indexes and sequences of a schema share one set of names.
        names.reserve(&table.name.schema, &table.name.name);
        names.reserve(&table.name.schema, &format!("{}_pkey", table.name.name));
    }
    let mut described: Vec<Placed<'_>> = objects
        .tables
        .iter()
        .filter_map(|objects| Some(Placed::new(objects, places.table(&objects.table)?)))
        .collect();
    // Names that are given anew must not depend on the order of the tables.
    described.sort_by(|a, b| a.objects.table.cmp(&b.objects.table));
    let mut planning = Planning {
        found: ObjectPlanner::new(wanted),
        names,
        places,
    };
    counters::plan_sequences(&mut planning, objects);
    for table in &described {
        indexes::plan(&mut planning, table);
        foreign_keys::plan(&mut planning, table, &described);
        checks::plan(&mut planning, table);
        counters::plan(&mut planning, table);
        columns::plan(&mut planning, table);
        let analyze = ObjectStatement::always(format!("ANALYZE {}", table.name));
        planning.found.add(
            ObjectKind::Statistics,
            &table.objects.table,
            "",
            Ok(vec![analyze]),
        );
    }
    let foreign = objects
        .engine()
        .filter(|engine| *engine != Engine::Postgres);
    let taking = Taking {
        foreign: foreign.map(|engine| Foreign {
            engine,
            view: views::made,
        }),
        may_be_refused: false,
        enter: None,
        name_schema: None,
    };
    plan_scripts(&mut planning.found, objects, tables, &taking);
    planning.found.finish()
}

/// Makes one object.
pub(super) async fn make(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
) -> Result<ObjectOutcome, Error> {
    control::check_fence(connection, fence, Held::Now).await?;
    let doing = |error| general(error, "prepare to make objects");
    connection.query(SETTINGS).await.map_err(doing)?;
    if step.script.is_none() {
        return make_all(connection, step).await;
    }
    connection.query(SCRIPT_LOCK_TIMEOUT).await.map_err(doing)?;
    let made = make_script(connection, fence, step).await;
    // Tables that are dropped over the same session wait as long as they must. A connection that is lost has no settings.
    let unlimited = connection.query("SET lock_timeout = 0").await;
    let made = made?;
    unlimited.map_err(doing)?;
    Ok(made)
}

/// Makes what a text makes, unless something else has its name.
async fn make_script(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
) -> Result<ObjectOutcome, Error> {
    if let Some(lacking) = scripts::lacks(connection, step).await? {
        return Ok(ObjectOutcome::Lacks(lacking));
    }
    match scripts::taken(connection, fence, step).await? {
        Place::Free => {}
        Place::Taken(why) => return Ok(ObjectOutcome::Lacks(why)),
        Place::Lost(definition) => {
            return scripts::replace(connection, fence, step, &definition).await;
        }
    }
    make_all(connection, step).await
}

/// Runs the statements that are needed.
async fn make_all(connection: &mut Connection, step: &ObjectStep) -> Result<ObjectOutcome, Error> {
    let mut outcome = ObjectOutcome::Kept;
    for statement in &step.statements {
        if is_needless(connection, step, statement).await? {
            continue;
        }
        if let Err(error) = connection.query(&statement.sql).await {
            // A run that broke off may have left the server at work on the very same.
            if !is_needless(connection, step, statement).await? {
                return refused(error, step, &statement.sql);
            }
        }
        outcome = ObjectOutcome::Made;
    }
    Ok(outcome)
}

/// Whether what a statement makes is there already.
async fn is_needless(
    connection: &mut Connection,
    step: &ObjectStep,
    statement: &ObjectStatement,
) -> Result<bool, Error> {
    let Some(query) = &statement.unless else {
        return Ok(false);
    };
    let found = connection.query(query).await;
    found
        .map(|rows| !rows.is_empty())
        .map_err(|error| refusal(error, step, query))
}

/// What a refused statement says of its object.
fn refused(
    error: crate::wire::WireError,
    step: &ObjectStep,
    sql: &str,
) -> Result<ObjectOutcome, Error> {
    let code = match &error {
        crate::wire::WireError::Server(error) => error.code.clone(),
        _ => String::new(),
    };
    // What was waited for once is not waited for again while the rows wait.
    let is_lasting = matches!(&error, crate::wire::WireError::Server(error) if error.is_lasting() || error.is_lock_timeout());
    let refusal = refusal(error, step, sql);
    let message = match &refusal {
        Error::Table(fault) => fault.message.clone(),
        Error::Transient(message) if step.script.is_some() && is_lasting => {
            format!("{message}; repeat with: {sql}")
        }
        Error::Fatal(message) => message.clone(),
        _ => return Err(refusal),
    };
    match code.as_str() {
        // Functions, types, operator classes, collations, relations, schemas.
        "42883" | "42704" | "42P01" | "3F000" => Ok(ObjectOutcome::Lacks(message)),
        "42501" => Ok(ObjectOutcome::Denied(message)),
        // Versions differ in what they understand, and hosts in which files a function may call and what they need for an extension: that is no reason to call
        // the rows into question.
        code if step.script.is_some() && !code.is_empty() => Ok(ObjectOutcome::Lacks(message)),
        _ => Err(refusal),
    }
}

/// The server's words, and the statement to repeat.
fn refusal(error: crate::wire::WireError, step: &ObjectStep, sql: &str) -> Error {
    let error = match &step.table {
        Some(table) => crate::errors::of_object(error, table),
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
