use whimbrel_connector::objects::{ColumnAdditions, ObjectStatement, Refused, column_at_target};
use whimbrel_core::Engine;
use whimbrel_core::objects::{ColumnDefault, Counter, ObjectKind};

use super::{Placed, Planning, render};
use crate::quote::{identifier, literal};
use crate::target::prepare::planned_column;

/// The longest comments, in characters.
const COLUMN_COMMENT_MAX: usize = 1024;
const TABLE_COMMENT_MAX: usize = 2048;

/// What is said of one column in one statement, because each statement says all of a column anew.
#[derive(Default)]
struct Wishes<'a> {
    default: Option<&'a ColumnDefault>,
    counter: Option<&'a Counter>,
    comment: Option<&'a str>,
}

/// Defaults, numbering and comments of columns, and the table's comment.
pub(super) fn plan(planning: &mut Planning<'_>, table: &Placed<'_>) {
    for column in table.target.source.loaded_columns() {
        let name = column.name.as_str();
        let objects = table.objects;
        let mut wishes = Wishes::default();
        if planning.found.wants(ObjectKind::Default) {
            wishes.default = objects
                .defaults
                .iter()
                .find(|default| default.column == name);
        }
        if planning.found.wants(ObjectKind::Sequence) {
            wishes.counter = objects
                .counters
                .iter()
                .find(|counter| counter.column == name);
        }
        if planning.found.wants(ObjectKind::Comment) {
            let mut comments = objects.column_comments.iter();
            wishes.comment = comments
                .find(|(column, _)| column == name)
                .map(|(_, comment)| comment.as_str());
        }
        if column_at_target(table.target, name, table.is_same_engine).is_some() {
            plan_column(planning, table, name, &wishes);
        }
    }
    if let Some(comment) = &table.objects.comment {
        let statement = ObjectStatement::unless(
            format!("ALTER TABLE {} COMMENT = {}", table.name, literal(comment)),
            format!(
                "SELECT 1 FROM information_schema.tables WHERE {} AND table_comment <> ''",
                table.is_it("table_schema")
            ),
        );
        let made = if comment.chars().count() > TABLE_COMMENT_MAX {
            Err(Refused::because(
                "it is longer than the 2048 characters of a comment here",
            ))
        } else {
            Ok(vec![statement])
        };
        planning
            .found
            .add(ObjectKind::Comment, &table.objects.table, "", made);
    }
}

/// What is added to a column, and the kind under which the whole is told.
struct Gathered {
    additions: ColumnAdditions,
    kind: Option<ObjectKind>,
}

impl Gathered {
    /// Gathers what can be said; what cannot is listed.
    fn gather(
        planning: &mut Planning<'_>,
        table: &Placed<'_>,
        (name, planned): (&str, &str),
        wishes: &Wishes<'_>,
    ) -> Self {
        let source = &table.objects.table;
        let mut gathered = Self {
            additions: ColumnAdditions::to(&table.target.name, planned),
            kind: None,
        };
        let additions = &mut gathered.additions;
        match wishes.comment {
            None => {}
            Some(comment) if comment.chars().count() > COLUMN_COMMENT_MAX => {
                let reason = "it is longer than the 1024 characters of a comment here";
                let refused = Err(Refused::because(reason));
                let kind = ObjectKind::Comment;
                planning.found.add(kind, source, name, refused);
            }
            Some(comment) => {
                gathered.kind = Some(ObjectKind::Comment);
                additions.comment = Some(comment.to_owned());
            }
        }
        match wishes.default.map(|default| default_of(table, default)) {
            None => {}
            Some(Ok((default, on_update))) => {
                gathered.kind = Some(ObjectKind::Default);
                additions.default = default;
                additions.on_update = on_update;
            }
            Some(Err(refused)) => {
                let kind = ObjectKind::Default;
                planning.found.add(kind, source, name, Err(refused));
            }
        }
        match wishes
            .counter
            .map(|counter| numbering(planning, table, counter))
        {
            None => {}
            Some(Ok(())) => {
                gathered.kind = Some(ObjectKind::Sequence);
                additions.is_numbered = true;
            }
            Some(Err(refused)) => {
                let kind = ObjectKind::Sequence;
                planning.found.add(kind, source, name, Err(refused));
            }
        }
        gathered
    }
}

/// What is added to a column, as clauses behind its type.
fn clauses(additions: &ColumnAdditions) -> String {
    let mut text = String::new();
    let default = additions.default.iter();
    text.extend(default.map(|value| format!(" DEFAULT {value}")));
    let on_update = additions.on_update.iter();
    text.extend(on_update.map(|value| format!(" ON UPDATE {value}")));
    if additions.is_numbered {
        text.push_str(" AUTO_INCREMENT");
    }
    let comment = additions.comment.iter();
    text.extend(comment.map(|comment| format!(" COMMENT {}", literal(comment))));
    text
}

fn plan_column(planning: &mut Planning<'_>, table: &Placed<'_>, name: &str, wishes: &Wishes<'_>) {
    let Some(planned) = table.planned(name) else {
        return;
    };
    let gathered = Gathered::gather(planning, table, (name, &planned.name), wishes);
    let Some(kind) = gathered.kind else {
        return;
    };
    let additions = gathered.additions;
    let modify = ObjectStatement::of_column(
        format!(
            "ALTER TABLE {} MODIFY COLUMN {}{}",
            table.name,
            planned_column(planned).trim_start(),
            clauses(&additions)
        ),
        additions,
    );
    let counter = wishes.counter.filter(|_| kind == ObjectKind::Sequence);
    let next = counter.and_then(|counter| counter.next.known());
    let set = next.map(|next| set(table, next));
    let statements = [Some(modify), set].into_iter().flatten().collect();
    let source = &table.objects.table;
    let step = planning.found.add(kind, source, name, Ok(statements));
    if let (Some(step), Some(counter)) = (step, counter) {
        step.note = counter.next.note();
    }
}

/// Sets the number that comes next; the server never goes back behind the numbers that are there.
fn set(table: &Placed<'_>, next: i64) -> ObjectStatement {
    ObjectStatement::unless(
        format!("ALTER TABLE {} AUTO_INCREMENT = {next}", table.name),
        format!(
            "SELECT 1 FROM information_schema.tables WHERE {} AND auto_increment >= {next}",
            table.is_it("table_schema")
        ),
    )
}

/// The default of a column, and what it gets when a row is updated.
fn default_of(
    table: &Placed<'_>,
    default: &ColumnDefault,
) -> Result<(Option<String>, Option<String>), Refused> {
    let planned = table.planned(&default.column);
    let planned = planned.ok_or_else(|| Refused::because("its column is computed"))?;
    let written = |native: &String| {
        let alter = format!(
            "ALTER TABLE {} ALTER COLUMN {} SET DEFAULT ({native})",
            table.name,
            identifier(&planned.name)
        );
        let refused = |reason: &str| Refused::with_statement(reason, alter.clone());
        table
            .keeps_value(&default.column)
            .map_err(|reason| refused(&reason))?;
        if table.takes_text(native) {
            return Ok(native.clone());
        }
        let value = default.value.as_ref().ok_or_else(|| {
            refused("its value is an expression that may mean something else here")
        })?;
        render::default(table, planned, value).map_err(|reason| refused(&reason))
    };
    let value = default.native.as_ref().map(written).transpose()?;
    // The two engines of the family say it with the same words.
    let is_family = table.objects.engine != Engine::Postgres;
    let on_update = default.on_update.clone().filter(|_| is_family);
    Ok((value, on_update))
}

/// Whether the server can number the column.
fn numbering(
    planning: &Planning<'_>,
    table: &Placed<'_>,
    counter: &Counter,
) -> Result<(), Refused> {
    let planned = table.planned(&counter.column);
    let planned = planned.ok_or_else(|| Refused::because("its column is computed"))?;
    let add = format!(
        "ALTER TABLE {} MODIFY COLUMN {} AUTO_INCREMENT",
        table.name,
        planned_column(planned).trim_start()
    );
    let refused = |reason: String| Err(Refused::with_statement(reason, add.clone()));
    let native = planned.native.to_lowercase();
    if !native.contains("int") && !native.contains("float") && !native.contains("double") {
        return refused(format!(
            "columns of type {} are not numbered here",
            planned.native
        ));
    }
    let first = table
        .objects
        .counters
        .first()
        .map(|first| first.column.as_str());
    if first != Some(counter.column.as_str()) {
        return refused("only one column of a table is numbered here".to_owned());
    }
    if counter.increment != 1 {
        return refused(format!(
            "numbers grow by {} at the source, and by what the server is set to here",
            counter.increment
        ));
    }
    let key = table
        .target
        .primary_key
        .first()
        .and_then(|&at| table.target.columns.get(at));
    let leads_key = key.is_some_and(|column| column.name == planned.name)
        && table.target.keys != whimbrel_connector::KeyPolicy::None;
    let makes_indexes = planning.found.wants(ObjectKind::Index);
    let leads_index = table.objects.indexes.iter().any(|index| {
        let columns = index.columns().filter(|_| index.predicate.is_none());
        columns.is_some_and(|columns| columns.first() == Some(&counter.column.as_str()))
    });
    if leads_key || (leads_index && makes_indexes) {
        return Ok(());
    }
    refused("a column that is numbered must be the first of a key here".to_owned())
}
