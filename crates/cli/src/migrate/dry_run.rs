//! `--dry-run`: the plan and the SQL. The plan is printed as comments, so that the whole is a script.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use whimbrel_connector::{Error, RawFormat, Snapshot, Target, TargetTable};
use whimbrel_core::{TableName, visible};
use whimbrel_engine::{FullLoadSpec, PlannedTable, RunError, plan_objects};

use super::survey::Survey;
use super::{Heading, planned_objects};
use crate::failure::{Exit, Failure};
use crate::format;
use crate::notes;
use crate::output::{print_json, print_script};
use crate::progress::aligned;

/// One table of the plan.
struct Entry<'a> {
    planned: &'a PlannedTable,
    chunk_count: usize,
    format: &'static str,
    sql: Vec<String>,
}

impl Entry<'_> {
    fn notes(&self) -> impl Iterator<Item = (&TableName, &str)> {
        let name = &self.planned.source.name;
        let notes = self.planned.target.iter().flat_map(|table| &table.notes);
        notes.map(move |note| (name, note.as_str()))
    }
}

/// Prints what a migration would do. One snapshot is opened to split the tables; nothing is written.
pub(super) async fn run(
    survey: &mut Survey,
    spec: &FullLoadSpec,
    heading: &Heading,
    is_json: bool,
) -> Result<Exit, Failure> {
    let snapshot = survey.source.snapshot(1).await.map_err(RunError::Source)?;
    let mut entries = Vec::new();
    for planned in &survey.plan.tables {
        let Ok(table) = &planned.target else {
            entries.push(Entry {
                planned,
                chunk_count: 0,
                format: "-",
                sql: Vec::new(),
            });
            continue;
        };
        let (source, split) = (&planned.source, &planned.split);
        let chunks = split
            .chunks(&*snapshot, source, spec.chunk_bytes)
            .await
            .map_err(RunError::Source)?;
        let format = if split.is_exact(&*snapshot, source) {
            row_format(&*snapshot, &mut *survey.target, table, spec).await?
        } else {
            "decoded"
        };
        entries.push(Entry {
            planned,
            chunk_count: chunks.len(),
            format,
            sql: survey.target.preview(table, spec.prepare),
        });
    }
    let objects = plan_objects(&mut *survey.source, &mut *survey.target, spec).await?;
    if is_json {
        let mut plan = as_json(survey, heading, &entries);
        plan["objects"] = planned_objects::json(&objects);
        print_json(&plan);
    } else {
        let script = as_script(survey, heading, &entries);
        print_script(&(script + &planned_objects::script(&objects)));
    }
    let is_complete = survey.plan.unmatched.names.is_empty();
    let has_errors = entries.iter().any(|entry| entry.planned.target.is_err()) || !is_complete;
    Ok(if has_errors {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

/// How rows of the table will travel.
async fn row_format(
    snapshot: &dyn Snapshot,
    target: &mut dyn Target,
    table: &TargetTable,
    spec: &FullLoadSpec,
) -> Result<&'static str, Failure> {
    if spec.shapes_rows(&table.source) {
        return Ok("decoded");
    }
    let offered = snapshot.raw_formats(&table.source);
    let accepted = match target.raw_formats(table).await {
        Ok(accepted) => accepted,
        // A table that is not there yet will be created as planned.
        Err(Error::Table(_)) if table.source.engine == target.engine() => offered.clone(),
        Err(Error::Table(_)) => Vec::new(),
        Err(error) => return Err(RunError::Target(error).into()),
    };
    // So will one that is dropped first, whatever it looks like now.
    let is_created = spec.prepare == whimbrel_connector::PrepareMode::DropAndCreate;
    let raw = offered
        .iter()
        .find(|format| accepted.contains(format) || (is_created && !accepted.is_empty()));
    Ok(match raw {
        Some(RawFormat::PgCopyBinary) => "binary copy, passed through",
        Some(RawFormat::PgCopyText) => "text copy, passed through",
        None => "decoded",
    })
}

fn as_script(survey: &Survey, heading: &Heading, entries: &[Entry<'_>]) -> String {
    let jobs = format::things(heading.jobs, "job");
    let mut parts = vec![
        comment(&format!("{} -> {}", heading.source, heading.target)),
        comment(&format!(
            "task {}, prepare {}, {jobs}",
            heading.task, heading.prepare
        )),
        "--\n".to_owned(),
        comment(&overview(entries)),
    ];
    for entry in entries {
        if let Err(message) = &entry.planned.target {
            let name = &entry.planned.source.name;
            parts.push(comment(&format!("error: {name}: {message}")));
        }
    }
    let unmatched = &survey.plan.unmatched;
    for name in &unmatched.names {
        parts.push(comment(&format!(
            "error: {name}: no such table is at the source, or the user may not see it"
        )));
    }
    for pattern in &unmatched.patterns {
        parts.push(comment(&format!("note: no table matches {pattern}")));
    }
    let noted = entries.iter().flat_map(Entry::notes);
    parts.extend(notes::lines(noted).iter().map(|note| comment(note)));
    for definition in &survey.plan.types {
        parts.push("\n".to_owned());
        parts.push(comment(&definition.name));
        parts.push(statement(&definition.sql));
    }
    for entry in entries.iter().filter(|entry| !entry.sql.is_empty()) {
        parts.push("\n".to_owned());
        parts.push(comment(&visible(&entry.planned.source.name.to_string())));
        parts.extend(entry.sql.iter().map(|sql| statement(sql)));
    }
    parts.concat()
}

fn overview(entries: &[Entry<'_>]) -> String {
    let columns = ["table", "rows", "bytes", "chunks", "rows travel"].map(str::to_owned);
    let mut rows = vec![columns];
    rows.extend(entries.iter().map(row));
    aligned(&rows) + "(rows and bytes as the source's catalog estimates them)\n"
}

fn row(entry: &Entry<'_>) -> [String; 5] {
    let source = &entry.planned.source;
    let label = match &entry.planned.target {
        Ok(target) if target.name != source.name => format!("{} -> {}", source.name, target.name),
        _ => source.name.to_string(),
    };
    let label = visible(&label).into_owned();
    let unknown = || "?".to_owned();
    [
        label,
        source.row_estimate.map_or_else(unknown, format::count),
        source.byte_estimate.map_or_else(unknown, format::bytes),
        entry.chunk_count.to_string(),
        entry.format.to_owned(),
    ]
}

/// A text as comments. Nothing in it may end the comment before its line does: psql also takes a carriage return for an end.
pub(super) fn comment(text: &str) -> String {
    let lines = text.lines().map(|line| format!("-- {}\n", visible(line)));
    let lines: Vec<String> = lines.collect();
    lines.concat()
}

pub(super) fn statement(sql: &str) -> String {
    format!("{};\n", sql.trim_end().trim_end_matches(';'))
}

fn as_json(survey: &Survey, heading: &Heading, entries: &[Entry<'_>]) -> Value {
    let tables: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let source = &entry.planned.source;
            let target = entry.planned.target.as_ref();
            json!({
                "table": source.name.to_string(),
                "target": target.ok().map(|table| table.name.to_string()),
                "row_estimate": source.row_estimate,
                "byte_estimate": source.byte_estimate,
                "chunks": entry.chunk_count,
                "format": entry.format,
                "notes": target.map(|table| table.notes.clone()).unwrap_or_default(),
                "error": target.err(),
                "sql": entry.sql,
            })
        })
        .collect();
    let types: Vec<Value> = survey
        .plan
        .types
        .iter()
        .map(|definition| json!({ "name": definition.name, "sql": definition.sql }))
        .collect();
    json!({
        "event": "plan",
        "task": heading.task,
        "source": heading.source,
        "target": heading.target,
        "prepare": heading.prepare,
        "jobs": heading.jobs,
        "types": types,
        "tables": tables,
        "missing": texts(&survey.plan.unmatched.names),
        "unmatched_patterns": texts(&survey.plan.unmatched.patterns),
    })
}

fn texts(names: &BTreeSet<TableName>) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_end_their_comment_and_statements_end_once() {
        assert_eq!(comment("a\ndrop table b"), "-- a\n-- drop table b\n");
        assert_eq!(comment("a\rdrop table b"), "-- a\\rdrop table b\n");
        assert_eq!(
            comment("a\u{85}b\u{2028}c\u{2029}d\u{b}e"),
            "-- a\\u{85}b\\u{2028}c\\u{2029}d\\u{b}e\n"
        );
        assert_eq!(statement("CREATE TYPE x;\n"), "CREATE TYPE x;\n");
    }
}
