//! How a command fails: the words for the user and the exit code.

use std::process::ExitCode;

use whimbrel_connector::{ConnectError, Error, NOBODY};
use whimbrel_engine::RunError;

/// How a command ended, as its exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All done.
    Done,
    /// Some tables are in error or different.
    Incomplete,
    /// The arguments are wrong.
    Usage,
    /// No connection could be made.
    Connection,
    /// It failed otherwise.
    Failed,
    /// The user interrupted it.
    Interrupted,
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::Usage => 2,
            Self::Connection => 3,
            Self::Failed => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What was tried and what happened.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
    /// The exit code.
    pub(crate) exit: Exit,
}

impl Failure {
    /// Any failure.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            exit,
        }
    }

    /// The arguments are wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A connection that could not be made.
    pub(crate) fn connect(error: &ConnectError) -> Self {
        Self::new(Exit::Connection, &error.message).with_help(&error.remedy)
    }

    /// An error of a database.
    pub(crate) fn database(error: &Error) -> Self {
        let failed = Self::new(Exit::Failed, error.to_string());
        match error {
            Error::Connect(error) => Self::connect(error),
            Error::Transient(_) => failed.with_help(
                "mend what the message names, or see that both servers run and can be reached, then try again; a migration goes on with --resume",
            ),
            Error::Busy(_) => failed.with_help("try again once that has ended"),
            Error::Fenced { theirs, .. } if *theirs == NOBODY => {
                failed.with_help("start the migration anew, without --resume")
            }
            Error::Fenced { .. } if error.is_put_back() => {
                failed.with_help("go on with --resume from what the target has")
            }
            Error::Fenced { .. } => failed.with_help(
                "the same migration was started a second time; let that one finish, or stop it and use --resume",
            ),
            Error::Row(_) | Error::Table(_) | Error::Fatal(_) => failed,
        }
    }

    /// Says which end it was.
    fn of_end(self, end: &str) -> Self {
        let message = format!("{end}: {}", self.message);
        Self { message, ..self }
    }

    /// The lines for the standard error.
    pub(crate) fn text(&self) -> String {
        match &self.help {
            None => format!("error: {}\n", self.message),
            Some(help) => format!("error: {}\n  help: {help}\n", self.message),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match &error {
            RunError::Source(error) => Self::database(error).of_end("source"),
            RunError::Target(error) => Self::database(error).of_end("target"),
            RunError::NoTables => Self::usage("no table of the source matches")
                .with_help("check --tables and --exclude: names are case-sensitive and written SCHEMA.TABLE; whimbrel check lists the schemas"),
            RunError::SameDatabase(_) => Self::usage(error.to_string())
                .with_help("--target-schema or --rename-schema give the tables another place"),
            RunError::SharedAndPrepared => Self::usage(error.to_string()),
            RunError::NothingToResume => {
                Self::usage("there is nothing to resume: the target has no record of an unfinished migration of these URLs and tables")
                    .with_help("give the same URLs and table options as before, or start afresh without --resume")
            }
            RunError::WasFollowed => {
                Self::usage("this migration has followed its source: going on without that would call tables complete that lack the changes made since")
                    .with_help("give --follow, or --until-caught-up to end once all changes so far are applied; or load afresh without --resume")
            }
            RunError::FedByAnother { fed, .. } => {
                let help = format!(
                    "end that task, with the source that it has and this target: whimbrel forget SOURCE TARGET --task {} (in a service: delete the replication task whose ARN ends so); or write into other tables, with --target-schema or --rename-schema; or, where each of them writes rows of its own, give all of them --shared-target-tables",
                    fed.task
                );
                Self::usage(error.to_string()).with_help(help)
            }
            RunError::Table(_) => Self::new(Exit::Failed, error.to_string())
                .with_help("mend the cause and go on with --resume, or leave the table out with --exclude"),
        }
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_connector::ConnectErrorKind;

    use super::*;

    #[test]
    fn a_connection_problem_has_its_own_exit_code_and_its_remedy_as_help() {
        let error = ConnectError {
            kind: ConnectErrorKind::PortClosed,
            message: "connect to h:5432/x: nothing listens".to_owned(),
            remedy: "start the server".to_owned(),
        };
        let failure = Failure::from(RunError::Source(Error::Connect(error)));
        assert_eq!(failure.exit, Exit::Connection);
        assert_eq!(
            failure.text(),
            "error: source: connect to h:5432/x: nothing listens\n  help: start the server\n"
        );
    }
}
