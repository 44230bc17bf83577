//! Columns that are added, whose values are made by expressions.
//!
//! ```text
//!  expression ──► references and SQL ──► prepared once, in a sandbox ──► run for each row ──► converted to the column's type
//! ```
//!
//! SQLite evaluates them, in the types that it has: whole numbers of 64 bits, floating-point numbers, text and bytes. A decimal is handed
//! over as the number that it is, or as its text, by what is done with it ([`usage`]); a number that SQLite has not is refused.
//! Everything else is handed over as text, and what comes back is converted exactly or refused.

mod functions;
mod input;
mod name;
mod sandbox;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use whimbrel_core::mapping::{Conversion, Part, parts, tokens};
use whimbrel_core::{ColumnType, Table, TableName, Value, write_text};

use super::cell::NoCell;
use super::event::{Event, Operation};
use super::scratch::{Cell, Scratch};
use input::Input;
pub(crate) use name::EvaluatedNames;
use sandbox::Sandbox;
use usage::{Usage, usages};

/// The expressions of one table.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    all: Vec<Expression>,
    /// Sandboxes that nobody uses; as many are made as rows are shaped at once.
    idle: Mutex<Vec<Sandbox>>,
}

/// An expression that a rule has for a column.
#[derive(Debug)]
pub(super) struct Expression {
    text: String,
    /// A query of one value, with a parameter for each input.
    sql: String,
    inputs: Vec<Input>,
    conversion: Conversion,
    /// The same row at the source gives the same value always.
    is_pure: bool,
    /// What it is for rows that have gone, where it tells that.
    deleted_flag: Option<String>,
}

/// Functions that give another value each time, or that tell of the change.
const IMPURE: &[&str] = &["random", "randomblob", functions::INDICATOR];
/// Functions that give the time of now if they are asked to.
const OF_TIME: &[&str] = &["date", "time", "datetime", "julianday", "strftime"];

impl Expression {
    /// Takes an expression apart and has it looked at.
    ///
    /// # Errors
    /// Why it cannot be evaluated, in words that stand behind "expected".
    pub(super) fn new(
        text: &str,
        ty: &ColumnType,
        table: &Table,
        target: &TableName,
    ) -> Result<Self, String> {
        let mut inputs: Vec<Input> = Vec::new();
        let mut sql = "SELECT (".to_owned();
        let parts = parts(text)?;
        let mut usages = usages(&parts).into_iter();
        for part in parts {
            match part {
                Part::Sql(part) => sql.push_str(part),
                Part::Reference(name) => {
                    let usage = usages.next().unwrap_or(Usage::Number);
                    let input = Input::of(name, usage, table, target)?;
                    let known = inputs.iter().position(|other| *other == input);
                    let number = known.unwrap_or_else(|| {
                        inputs.push(input);
                        inputs.len() - 1
                    });
                    sql.push('?');
                    sql.push_str(&(number + 1).to_string());
                }
            }
        }
        // A comment at the end goes on to the end of its line.
        sql.push_str("\n)");
        let called = Sandbox::new(1)?.check(&sql)?;
        let indicates = called.contains(functions::INDICATOR);
        if indicates && inputs.iter().any(|input| !matches!(input, Input::Name(_))) {
            return Err(
                "an expression with operation_indicator to name no columns and no $AR_H_ variables, so that it tells rows that have gone"
                    .to_owned(),
            );
        }
        let conversion = Conversion::to(ty).ok_or("a type that relational targets have")?;
        let mut made = Self {
            text: text.to_owned(),
            sql,
            is_pure: is_pure(text, &called, &inputs),
            inputs,
            conversion,
            deleted_flag: None,
        };
        if indicates {
            made.deleted_flag = Some(made.flag_of_deleted()?);
        }
        Ok(made)
    }

    /// Its value for rows that have gone, in text.
    fn flag_of_deleted(&self) -> Result<String, String> {
        let event = Event {
            operation: Operation::Delete,
            before: None,
            change: None,
        };
        let mut scratch = Scratch::default();
        let cell = self
            .evaluate(&mut Sandbox::new(1)?, event, &[], &mut scratch)
            .map_err(|_| "an operation_indicator whose characters fit the column's type")?;
        let mut flag = Vec::new();
        write_text(&cell.value(&scratch), &mut flag);
        String::from_utf8(flag).map_err(|error| error.to_string())
    }

    fn evaluate(
        &self,
        sandbox: &mut Sandbox,
        event: Event<'_>,
        row: &[Value<'_>],
        scratch: &mut Scratch,
    ) -> Result<Cell<'static>, NoCell> {
        let is_untold = |input: &Input| input.is_not_sent(row);
        if self.inputs.iter().any(is_untold) {
            // It is as it was: what is told of a change that needs more was looked at before.
            return Ok(Cell::AsItIs(Value::NotSent));
        }
        let is_of_commit =
            |input: &Input| matches!(input, Input::Header(header) if header.is_of_commit());
        if event.awaits_commit() && self.inputs.iter().any(is_of_commit) {
            return Err(NoCell::NotYet);
        }
        let mut made = None;
        sandbox
            .run(
                &self.sql,
                event.operation,
                self.inputs.iter().map(|input| input.value(event, row)),
                &mut |value| {
                    let begin = scratch.text.len();
                    made = Some(match self.conversion.convert(&value, &mut scratch.text) {
                        Err(error) => Err(NoCell::Refused(error)),
                        Ok(converted) => match scratch.converted(begin, converted) {
                            Cell::AsItIs(value) => scratch
                                .kept(&value)
                                .ok_or_else(|| NoCell::NoValue("it has no type".to_owned())),
                            Cell::Text(range) => Ok(Cell::Text(range)),
                            Cell::Decimal(range) => Ok(Cell::Decimal(range)),
                            Cell::Bytes(range) => Ok(Cell::Bytes(range)),
                        },
                    });
                },
            )
            .map_err(NoCell::NoValue)?;
        made.unwrap_or_else(|| Err(NoCell::NoValue("no row came back".to_owned())))
    }
}

fn is_pure(text: &str, called: &BTreeSet<String>, inputs: &[Input]) -> bool {
    let calls = |names: &[&str]| names.iter().any(|name| called.contains(*name));
    let names_no_column = !inputs.iter().any(|input| input.place().is_some());
    let lower = text.to_lowercase();
    // A function of time without a time, or of 'now', tells the present time.
    let asks_now = lower.contains("now") || names_no_column || gives_no_time(&lower);
    let is_of_event = inputs.iter().any(|input| matches!(input, Input::Header(_)));
    let tells_now = calls(OF_TIME) && asks_now;
    !(is_of_event || tells_now || calls(IMPURE))
}

/// Whether a function of time is called without a time: with nothing, or with the form of its text alone.
fn gives_no_time(lower: &str) -> bool {
    let tokens: Vec<&str> = tokens(lower).collect();
    let mut calls = tokens.windows(2).enumerate();
    calls.any(|(place, call)| {
        if call[1] != "(" || !OF_TIME.contains(&call[0]) {
            return false;
        }
        let arguments = argument_count(&tokens[place + 2..]);
        arguments == 0 || (call[0] == "strftime" && arguments == 1)
    })
}

/// How many arguments stand before the parenthesis that closes them.
fn argument_count(tokens: &[&str]) -> usize {
    if tokens.first() == Some(&")") {
        return 0;
    }
    let (mut depth, mut count) = (0_usize, 1);
    for token in tokens {
        match *token {
            "(" => depth += 1,
            ")" if depth == 0 => break,
            ")" => depth -= 1,
            "," if depth == 0 => count += 1,
            _ => {}
        }
    }
    count
}

impl Expressions {
    pub(super) fn push(&mut self, expression: Expression) -> usize {
        self.all.push(expression);
        self.all.len() - 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn text(&self, number: usize) -> &str {
        self.all
            .get(number)
            .map_or("", |expression| &expression.text)
    }

    pub(super) fn is_pure(&self, number: usize) -> bool {
        self.all
            .get(number)
            .is_none_or(|expression| expression.is_pure)
    }

    /// Whether one of them tells rows that have gone at the source, which stay then.
    pub(super) fn keep_deleted(&self) -> bool {
        let mut all = self.all.iter();
        all.any(|expression| expression.deleted_flag.is_some())
    }

    pub(super) fn deleted_flag(&self, number: usize) -> Option<&str> {
        self.all.get(number)?.deleted_flag.as_deref()
    }

    /// The places of the columns that any of them looks at.
    pub(super) fn inputs(&self) -> impl Iterator<Item = usize> {
        let inputs = self.all.iter().flat_map(|expression| &expression.inputs);
        inputs.filter_map(Input::place)
    }

    /// Whether an update tells what each of them looks at, or nothing of that: then it did not change, and neither did the value.
    pub(super) fn are_told_or_same(&self, is_told: impl Fn(usize) -> bool) -> bool {
        self.all.iter().all(|expression| {
            let inputs = || expression.inputs.iter().filter_map(Input::place);
            let is_same = expression.is_pure && !inputs().any(&is_told);
            is_same || inputs().all(&is_told)
        })
    }

    /// The places of the columns that one of them looks at.
    pub(super) fn inputs_of(&self, number: usize) -> impl Iterator<Item = usize> {
        let expression = self.all.get(number).into_iter();
        let inputs = expression.flat_map(|expression| &expression.inputs);
        inputs.filter_map(Input::place)
    }

    /// Takes a sandbox for the expressions of a row.
    pub(super) fn evaluator(&self) -> Evaluator<'_> {
        Evaluator {
            of: self,
            sandbox: None,
        }
    }
}

/// Evaluates the expressions of a row.
pub(super) struct Evaluator<'a> {
    of: &'a Expressions,
    sandbox: Option<Sandbox>,
}

impl Evaluator<'_> {
    /// The value of an expression, in the type of its column.
    pub(super) fn value(
        &mut self,
        number: usize,
        event: Event<'_>,
        row: &[Value<'_>],
        scratch: &mut Scratch,
    ) -> Result<Cell<'static>, NoCell> {
        let expression = self.of.all.get(number);
        let expression = expression.ok_or_else(|| NoCell::NoValue("there is none".to_owned()))?;
        let sandbox = match &mut self.sandbox {
            Some(sandbox) => sandbox,
            none => none.insert(self.of.sandbox().map_err(NoCell::NoValue)?),
        };
        expression.evaluate(sandbox, event, row, scratch)
    }
}

impl Drop for Evaluator<'_> {
    fn drop(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            let idle = self.of.idle.lock();
            idle.unwrap_or_else(PoisonError::into_inner).push(sandbox);
        }
    }
}

impl Expressions {
    fn sandbox(&self) -> Result<Sandbox, String> {
        let idle = self.idle.lock();
        let idle = idle.unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(sandbox) => Ok(sandbox),
            None => Sandbox::new(self.all.len()),
        }
    }
}
