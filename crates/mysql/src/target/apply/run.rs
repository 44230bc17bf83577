//! Running the statements of a script.

use std::ops::Range;

use whimbrel_connector::{Error, RefusalKind, RowRefusal};

use super::script::{Script, Step};
use super::{MysqlApplier, SAVEPOINT};
use crate::errors::{general, of_table};
use crate::target::verdict;
use crate::wire::{Answer, Done, TextRow, WireError};

pub(super) const DOING: &str = "apply changes to the target table";

/// Of a script's own: what the same call has done before it stays when its steps are run once more.
const RUN_SAVEPOINT: &str = "SAVEPOINT whimbrel_run";
const BACK_TO_RUN_SAVEPOINT: &str = "ROLLBACK TO SAVEPOINT whimbrel_run";

/// Why a step was not done.
enum Cause {
    Wire(WireError),
    /// The server changed what it was given, and says so.
    Warned(Vec<TextRow>),
    TooLong,
}

/// A step that was not done.
struct Failure {
    step: usize,
    cause: Cause,
}

impl MysqlApplier {
    /// Runs all steps; answers what the server said of each. `lines` gives the rows of a step as lines of all columns, for messages.
    pub(super) async fn run(
        &mut self,
        script: &Script,
        lines: &(dyn Fn(&Step) -> Vec<u8> + Sync),
    ) -> Result<Vec<Done>, Error> {
        let failure = match self.run_parts(script).await {
            Ok(Some(done)) => return Ok(done),
            // Only the last statement's warnings can be asked for: once more, one by one.
            Ok(None) => match self.run_one_by_one(script).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        let step = &script.steps[failure.step];
        Err(explain(step, failure.cause, lines))
    }

    /// Sets the call's savepoint, unless it is set.
    pub(super) async fn set_savepoint(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.as_mut().filter(|open| !open.has_savepoint) else {
            return Ok(());
        };
        self.session
            .connection
            .execute(SAVEPOINT)
            .await
            .map_err(|error| general(error, "set a savepoint"))?;
        open.has_savepoint = true;
        Ok(())
    }

    /// `None` when the server warned of something.
    async fn run_parts(&mut self, script: &Script) -> Result<Option<Vec<Done>>, Failure> {
        let mut all: Vec<Done> = Vec::with_capacity(script.steps.len());
        while all.len() < script.steps.len() {
            let part = script.part(all.len());
            let mut sql = Vec::new();
            let sets_savepoint = self.open.as_ref().is_some_and(|open| !open.has_savepoint);
            let begins = all.is_empty();
            for savepoint in [
                sets_savepoint.then_some(SAVEPOINT),
                begins.then_some(RUN_SAVEPOINT),
            ] {
                let Some(savepoint) = savepoint else { continue };
                sql.extend_from_slice(savepoint.as_bytes());
                sql.push(b';');
            }
            self.push_part(script, &part, &mut sql)?;
            let mut answers: Vec<Answer> = Vec::new();
            let ran = self.session.connection.script(&sql, &mut answers).await;
            if sets_savepoint && !answers.is_empty() {
                answers.remove(0);
                if let Some(open) = &mut self.open {
                    open.has_savepoint = true;
                }
            }
            if begins && !answers.is_empty() {
                answers.remove(0);
            }
            if let Err(error) = ran {
                return Err(Failure {
                    step: (part.start + answers.len()).min(script.steps.len() - 1),
                    cause: Cause::Wire(error),
                });
            }
            if answers.iter().any(|answer| answer.done.warning_count > 0) {
                return Ok(None);
            }
            all.extend(answers.into_iter().map(|answer| answer.done));
        }
        Ok(Some(all))
    }

    /// Appends the text of some steps.
    fn push_part(
        &self,
        script: &Script,
        part: &Range<usize>,
        sql: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        for number in part.clone() {
            let step = &script.steps[number];
            if step.sql.len() > self.session.text_bytes_max {
                return Err(Failure {
                    step: number,
                    cause: Cause::TooLong,
                });
            }
            if number > part.start {
                sql.push(b';');
            }
            sql.extend_from_slice(&script.sql[step.sql.clone()]);
        }
        Ok(())
    }

    async fn run_one_by_one(&mut self, script: &Script) -> Result<Vec<Done>, Failure> {
        let mut all = Vec::with_capacity(script.steps.len());
        let connection = &mut self.session.connection;
        if let Err(error) = connection.execute(BACK_TO_RUN_SAVEPOINT).await {
            return Err(Failure {
                step: 0,
                cause: Cause::Wire(error),
            });
        }
        for (number, step) in script.steps.iter().enumerate() {
            let failed = |cause| Failure {
                step: number,
                cause,
            };
            let mut answers = Vec::new();
            let sql = &script.sql[step.sql.clone()];
            connection
                .script(sql, &mut answers)
                .await
                .map_err(|error| failed(Cause::Wire(error)))?;
            let done = answers.pop().unwrap_or_default().done;
            if done.warning_count > 0 {
                let warnings = connection
                    .rows(verdict::SHOW)
                    .await
                    .map_err(|error| failed(Cause::Wire(error)))?;
                if !verdict::is_advice(&done, &warnings) {
                    return Err(failed(Cause::Warned(warnings)));
                }
            }
            all.push(done);
        }
        Ok(all)
    }
}

fn explain(step: &Step, cause: Cause, lines: &(dyn Fn(&Step) -> Vec<u8> + Sync)) -> Error {
    let layout = &step.table.layout;
    let mut refusal = match cause {
        Cause::Wire(WireError::Server(error)) if verdict::is_refusal(&error) => {
            verdict::explain(layout, &lines(step), error.code, &error.message)
        }
        Cause::Wire(error) => return of_table(error, &layout.source, DOING),
        Cause::Warned(warnings) => {
            verdict::refusal(layout, &lines(step), &Done::default(), &warnings)
        }
        Cause::TooLong => RowRefusal {
            table: layout.source.clone(),
            key: None,
            column: None,
            kind: RefusalKind::TooLong,
            reason: "it is longer than the target's server takes; raise max_allowed_packet there"
                .to_owned(),
        },
    };
    if refusal.key.is_none() && step.rows.len() == 1 {
        refusal.key = verdict::only_key(layout, &lines(step));
    }
    refusal.into()
}
