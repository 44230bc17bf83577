//! Whether everything that a publication leaves out of the log is over, so that every snapshot from now on has it.
//!
//! What a transaction writes before a table is published is not in the stream, whenever it commits. It is in the view of a load that begins when
//! the transaction is over, so that prepare waits for all that run ([`super::slot::wait_for_running`]) before a load may begin. That this wait is due
//! must outlive a process that dies in it, or gives it up: the next one finds the tables published already. So the *end* of the wait is what is
//! written down, in the publication's comment, with what the catalog said before the wait began:
//!
//! ```text
//!  ALTER PUBLICATION (commits) ──► state s is read ──► an id is taken, all older ones are over ──► COMMENT s
//! ```
//!
//! A comment with the state of now means that whatever was unpublished then is over. Any other, or none, means that a wait is due. Why nothing is lost:
//!
//! - *A crash anywhere* before the comment leaves a comment of an earlier state, or none: the next prepare waits.
//! - *A statement of somebody else*, such as a user's, that changes what is published changes the state: row ids and their transactions are in it.
//!   It lies before the read of the state, and its waiting is ours; or behind it, and the comment is of another state than the next prepare finds.
//! - *Two processes at once*, one of them replaced: each writes the state that it read before its own wait. An old state written last makes the
//!   next prepare wait once more than it has to.
//! - *A wait that is given up and gone on with* ([`Waits`]) keeps its id as long as the state is the same. Since no state ever comes again, it was the same all the time, so
//!   that the id was taken behind all that the comment will speak of.
//! - *A publication that was put back from a backup*, or went through an upgrade, has other row ids: one more wait.
//!
//! A comment that somebody else wrote stays, and one that may not be written is lacking. Then the process remembers the state whose wait is over ([`Waited`]), so
//! that a task that tries again and again waits once, and so does one of whose tables readers may not be told ([`super::stale::renew`]): a second wait would
//! tell it nothing that the first did not. What is remembered is what the comment would say, of the same state, so that it holds for as long; it ends with the process, and the
//! next one waits again, or finds that it may by then. The comment waits for no standby: one that
//! has it has the commits before it, and where it is lost, the next prepare waits once more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tracing::warn;
use whimbrel_connector::Error;

use super::slot::Since;
use crate::errors::general;
use crate::quote;
use crate::wire::{Connection, WireError};

/// How our comments begin.
const OURS: &str = "whimbrel: what was not published of these tables is over, state ";

/// Rows of the catalog never get an id or a transaction again that they had, within any time that matters here.
const STATE: &str = "
SELECT concat(p.oid, ':', p.xmin, ',', (SELECT string_agg(concat(m.oid, ':', m.xmin, ':', m.prrelid), ',' ORDER BY m.oid)
         FROM pg_publication_rel m WHERE m.prpubid = p.oid)),
       obj_description(p.oid, 'pg_publication')
FROM pg_publication p WHERE p.pubname = ";

/// The states whose wait is over, by publication, as far as this process knows.
#[derive(Debug, Default)]
pub(crate) struct Waited(Mutex<HashMap<String, String>>);

impl Waited {
    /// Notes that everything is over that ran when the state was read.
    pub(super) fn note(&self, name: &str, state: &State) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.insert(name.to_owned(), state.comment_due.clone());
    }

    fn has(&self, name: &str, state: &State) -> bool {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(name) == Some(&state.comment_due)
    }
}

/// How far the waits for a state have come. They end with whoever holds them: the next one begins anew.
#[derive(Debug, Default)]
pub(super) struct Waits {
    state: String,
    pub(super) running: Since,
    /// Behind what has readers see the tables ([`super::stale`]).
    pub(super) renewed: Since,
}

impl Waits {
    /// Those for a state, from the beginning if it is another one than before.
    pub(super) fn of(waits: &mut Arc<Self>, state: &State) -> Arc<Self> {
        if waits.state != state.comment_due {
            *waits = Arc::new(Self {
                state: state.comment_due.clone(),
                ..Self::default()
            });
        }
        Arc::clone(waits)
    }
}

/// What a publication tells of, as far as it can be told apart from what it told of at another time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    comment_due: String,
    comment: Option<String>,
}

impl State {
    /// Reads it, behind every change of the publication that the caller makes and before the wait.
    pub(super) async fn read(connection: &mut Connection, name: &str) -> Result<Self, Error> {
        let sql = format!("{STATE}{}", quote::literal(name));
        let rows = connection
            .query(&sql)
            .await
            .map_err(|error| general(error, "read the publication of the task"))?;
        let mut cells = rows.into_iter().flatten();
        let state = cells.next().flatten().ok_or_else(|| {
            Error::Transient(format!(
                "publication {name} was dropped while it was looked at"
            ))
        })?;
        Ok(Self::of(&state, cells.next().flatten()))
    }

    fn of(state: &str, comment: Option<String>) -> Self {
        let digits = Sha256::digest(state.as_bytes());
        let digits = digits.iter().take(16);
        let digits = digits.fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
        Self {
            comment_due: format!("{OURS}{digits}"),
            comment,
        }
    }

    /// Whether nothing is to be waited for: the comment says so, or this process knows.
    pub(super) fn is_settled(&self, name: &str, waited: &Waited) -> bool {
        self.comment.as_ref() == Some(&self.comment_due) || waited.has(name, self)
    }

    /// Notes that everything is over that ran when the state was read.
    pub(super) async fn settle(self, connection: &mut Connection, name: &str) -> Result<(), Error> {
        let Self {
            comment_due,
            comment,
        } = self;
        if comment.is_some_and(|comment| !comment.starts_with(OURS)) {
            warn!(
                publication = name,
                "the publication has a comment of somebody else, so that each run of the task waits for what runs at the source; remedy: COMMENT ON PUBLICATION … IS NULL"
            );
            return Ok(());
        }
        let sql = format!(
            "SET LOCAL synchronous_commit = local; COMMENT ON PUBLICATION {} IS {}",
            quote::identifier(name),
            quote::literal(&comment_due)
        );
        match connection.query(&sql).await {
            Ok(_) => Ok(()),
            Err(WireError::Server(error)) => {
                warn!(publication = name, %error, "the publication cannot be commented on, so that each run of the task waits for what runs at the source; remedy: GRANT the role that owns it TO the task's user (with another owner the tables would be loaded again)");
                Ok(())
            }
            Err(error) => Err(general(error, "comment on the publication of the task")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_settled_by_its_own_comment_alone() {
        let waited = Waited::default();
        let state = State::of("16400:745,16401:745:16390", None);
        assert!(!state.is_settled("p", &waited));
        let comment = Some(state.comment_due.clone());
        let is_settled = |state: &str| State::of(state, comment.clone()).is_settled("p", &waited);
        assert!(is_settled("16400:745,16401:745:16390"));
        assert!(!is_settled("16400:745,16401:746:16390"));
    }

    #[test]
    fn what_a_process_has_waited_for_is_of_one_state_of_one_publication() {
        let waited = Waited::default();
        let state = State::of("16400:745", None);
        waited.note("p", &state);
        assert!(state.is_settled("p", &waited));
        assert!(!state.is_settled("q", &waited));
        assert!(!State::of("16400:746", None).is_settled("p", &waited));
    }
}
