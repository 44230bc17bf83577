//! Names that expressions of rules make.

use std::borrow::Cow;
use std::cell::RefCell;

use whimbrel_core::Value;
use whimbrel_core::mapping::{NameExpressions, Part, SourceNames, parts, type_word};

use super::sandbox::{Argument, Sandbox};
use super::{IMPURE, OF_TIME};
use crate::shaping::event::Operation;

thread_local! {
    /// A name is asked for time and again: the sandbox keeps what it has prepared.
    static SANDBOX: RefCell<Option<Sandbox>> = const { RefCell::new(None) };
}

/// Evaluates expressions that make names, in the sandbox that rows have too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EvaluatedNames;

impl NameExpressions for EvaluatedNames {
    fn name(&self, expression: &str, names: &SourceNames<'_>) -> Result<String, String> {
        let mut sql = "SELECT (".to_owned();
        let mut arguments = Vec::new();
        for part in parts(expression)? {
            match part {
                Part::Sql(part) => sql.push_str(part),
                Part::Reference(name) => {
                    arguments.push(variable(name, names)?);
                    sql.push('?');
                    sql.push_str(&arguments.len().to_string());
                }
            }
        }
        // A comment at the end goes on to the end of its line.
        sql.push_str("\n)");
        SANDBOX.with_borrow_mut(|kept| {
            let sandbox = match kept {
                Some(sandbox) => sandbox,
                none => none.insert(Sandbox::new(1)?),
            };
            evaluate(sandbox, &sql, &arguments)
        })
    }
}

fn evaluate(
    sandbox: &mut Sandbox,
    sql: &str,
    arguments: &[Argument<'_>],
) -> Result<String, String> {
    let called = sandbox.check(sql)?;
    let unsteady = called
        .iter()
        .find(|name| IMPURE.contains(&name.as_str()) || OF_TIME.contains(&name.as_str()));
    if let Some(name) = unsteady {
        // A table would get another name with every start of the task.
        return Err(format!(
            "an expression that makes the same name always, without {name}"
        ));
    }
    let mut made = None;
    sandbox
        .run(
            sql,
            Operation::Load,
            arguments.iter().cloned().map(Ok),
            &mut |value| {
                made = match value {
                    Value::Text(text) => Some(text.to_owned()),
                    Value::Int(number) => Some(number.to_string()),
                    _ => None,
                };
            },
        )
        .map_err(|error| format!("an expression that makes a name: {error}"))?;
    made.ok_or_else(|| "an expression that makes a text".to_owned())
}

/// What is known of an object before it has a name at the target.
fn variable<'n>(name: &str, names: &SourceNames<'n>) -> Result<Argument<'n>, String> {
    let text = |text: &'n str| Argument::Text(Cow::Borrowed(text));
    match (name, names.column) {
        ("AR_M_SOURCE_SCHEMA", _) => Ok(text(names.schema)),
        ("AR_M_SOURCE_TABLE_NAME", _) => Ok(text(names.table)),
        ("AR_M_SOURCE_COLUMN_NAME", Some(column)) => Ok(text(&column.name)),
        ("AR_M_SOURCE_COLUMN_DATATYPE", Some(column)) => Ok(text(type_word(&column.ty))),
        _ => Err(format!(
            "an expression of $AR_M_SOURCE_SCHEMA and $AR_M_SOURCE_TABLE_NAME, and for columns $AR_M_SOURCE_COLUMN_NAME and \
             $AR_M_SOURCE_COLUMN_DATATYPE: ${name} is none of these"
        )),
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::{Column, ColumnType, Generation};

    use super::*;

    fn name(expression: &str) -> Result<String, String> {
        let column = Column {
            name: "Ünit \"x\"".to_owned(),
            ty: ColumnType::Int {
                bits: 32,
                unsigned: false,
            },
            native: String::new(),
            nullable: true,
            generation: Generation::None,
            id: None,
            default: None,
        };
        let names = SourceNames {
            schema: "s",
            table: "t",
            column: Some(&column),
        };
        EvaluatedNames.name(expression, &names)
    }

    #[test]
    fn names_are_made_of_the_source_s() {
        for (expression, expected) in [
            (
                "$AR_M_SOURCE_SCHEMA || '.' || $AR_M_SOURCE_TABLE_NAME",
                "s.t",
            ),
            ("upper($AR_M_SOURCE_TABLE_NAME) -- loud", "T"),
            ("replace($AR_M_SOURCE_COLUMN_NAME, '\"', '_')", "Ünit _x_"),
            (
                "CASE $AR_M_SOURCE_COLUMN_DATATYPE WHEN 'int4' THEN 'i' ELSE 'o' END",
                "i",
            ),
            ("1 + 1", "2"),
        ] {
            assert_eq!(name(expression).as_deref(), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_makes_no_name_is_refused() {
        for (expression, expected) in [
            ("NULL", "makes a text"),
            ("1.5", "makes a text"),
            ("$id", "$id is none of these"),
            ("$AR_H_USER", "$AR_H_USER is none of these"),
            (
                "hex(random())",
                "makes the same name always, without random",
            ),
            ("strftime('%Y', 'now')", "without strftime"),
            ("(SELECT 1)", "a query is none of these"),
            (
                "load_extension('x')",
                "function load_extension is none of these",
            ),
            ("upper('x'", "parentheses that are closed"),
        ] {
            let said = name(expression).unwrap_err();
            assert!(said.contains(expected), "{expression}: {said}");
        }
        assert_eq!(name("'still ' || 'there'").as_deref(), Ok("still there"));
    }
}
