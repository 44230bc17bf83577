//! What `SHOW CREATE` tells of objects of each kind.

use whimbrel_core::TableName;
use whimbrel_core::objects::{ObjectKind, OtherObject};

use super::definer;
use crate::quote::{self, literal};
use crate::wire::{Connection, TextRow, WireError};

/// One kind.
pub(super) struct Shown {
    pub(super) kind: ObjectKind,
    pub(super) what: &'static str,
    /// Those in the session's database: database, name, the table they are of, and with whose rights they run, where that can be chosen.
    pub(super) names: &'static str,
    /// A query that gives a row if one of the name `$n` is in the session's database.
    pub(super) exists: &'static str,
    /// Its word in `SHOW CREATE`.
    keyword: &'static str,
    /// Where the answer has its statement.
    statement: usize,
    /// Where the answer has its mode of SQL, its time zone, and the collation of its constants.
    mode: Option<usize>,
    zone: Option<usize>,
    collation: usize,
}

/// In an order in which they can be made.
pub(super) const ALL: [Shown; 5] = [
    Shown {
        kind: ObjectKind::Routine,
        what: "function",
        names: "SELECT routine_schema, routine_name, NULL, security_type FROM information_schema.routines WHERE routine_type = 'FUNCTION' AND routine_schema = database() ORDER BY routine_name",
        exists: "SELECT 1 FROM information_schema.routines WHERE routine_type = 'FUNCTION' AND routine_schema = database() AND routine_name = $n",
        keyword: "FUNCTION",
        statement: 2,
        mode: Some(1),
        zone: None,
        collation: 4,
    },
    Shown {
        kind: ObjectKind::Routine,
        what: "procedure",
        names: "SELECT routine_schema, routine_name, NULL, security_type FROM information_schema.routines WHERE routine_type = 'PROCEDURE' AND routine_schema = database() ORDER BY routine_name",
        exists: "SELECT 1 FROM information_schema.routines WHERE routine_type = 'PROCEDURE' AND routine_schema = database() AND routine_name = $n",
        keyword: "PROCEDURE",
        statement: 2,
        mode: Some(1),
        zone: None,
        collation: 4,
    },
    Shown {
        kind: ObjectKind::View,
        what: "view",
        names: "SELECT table_schema, table_name, NULL, security_type FROM information_schema.views WHERE table_schema = database() ORDER BY table_name",
        exists: "SELECT 1 FROM information_schema.views WHERE table_schema = database() AND table_name = $n",
        keyword: "VIEW",
        statement: 1,
        mode: None,
        zone: None,
        collation: 3,
    },
    Shown {
        kind: ObjectKind::Trigger,
        what: "trigger",
        // Those of one table and event act in this order.
        names: "SELECT trigger_schema, trigger_name, event_object_table FROM information_schema.triggers WHERE trigger_schema = database() \
                ORDER BY event_object_table, event_manipulation, action_timing, action_order",
        exists: "SELECT 1 FROM information_schema.triggers WHERE trigger_schema = database() AND trigger_name = $n",
        keyword: "TRIGGER",
        statement: 2,
        mode: Some(1),
        zone: None,
        collation: 4,
    },
    Shown {
        kind: ObjectKind::Event,
        what: "event",
        names: "SELECT event_schema, event_name FROM information_schema.events WHERE event_schema = database() ORDER BY event_name",
        exists: "SELECT 1 FROM information_schema.events WHERE event_schema = database() AND event_name = $n",
        keyword: "EVENT",
        statement: 3,
        mode: Some(1),
        zone: Some(2),
        collation: 5,
    },
];

/// A statement, and the session in which it means what it means.
pub(crate) struct Text {
    pub(crate) create: String,
    pub(crate) session: Vec<String>,
}

/// The text that a statement of [`Shown::shown`] shows; `None`: it is gone, or the user may not see it.
pub(crate) async fn shown_text(
    connection: &mut Connection,
    sql: &str,
) -> Result<Option<Text>, WireError> {
    let word = sql.strip_prefix("SHOW CREATE ").unwrap_or_default();
    let is_its = |shown: &&Shown| word.starts_with(&format!("{} ", shown.keyword));
    match ALL.iter().find(is_its) {
        Some(shown) => shown.ask(connection, sql).await,
        None => Ok(None),
    }
}

/// Whether a server's text is the one of a source: an event may have been switched on since, and what runs with the rights of its caller has any definer.
pub(crate) fn is_same_text(own: &str, text: &str) -> bool {
    let (own, text) = (disabled(own), disabled(text));
    let undefined = |create: &str| definer::take(create, true).create;
    own == text || undefined(&text) == text && undefined(&own) == text
}

impl Shown {
    /// The text of one; `None`: it is gone, or the user may not see it.
    pub(super) async fn read(
        &self,
        connection: &mut Connection,
        name: &TableName,
    ) -> Result<Option<Text>, WireError> {
        self.ask(connection, &self.shown(name)).await
    }

    /// What shows the text of one.
    pub(super) fn shown(&self, name: &TableName) -> String {
        format!(
            "SHOW CREATE {} {}",
            self.keyword,
            quote::identifier(&name.name)
        )
    }

    async fn ask(&self, connection: &mut Connection, sql: &str) -> Result<Option<Text>, WireError> {
        let row = match connection.row(sql).await {
            Err(WireError::Server(_)) => None,
            other => other?,
        };
        Ok(row.and_then(|row| {
            let create = row.get(self.statement)?.to_owned();
            Some(Text {
                session: self.session(&row),
                create,
            })
        }))
    }

    fn session(&self, row: &TextRow) -> Vec<String> {
        let mut settings = Vec::new();
        // The character set of the client stays the session's own, in which the statement is sent.
        let collation = row.get(self.collation);
        settings
            .extend(collation.map(|name| format!("SET collation_connection = {}", literal(name))));
        let mode = self.mode.map_or(Some(""), |at| row.get(at));
        settings.extend(mode.map(|mode| format!("SET sql_mode = {}", literal(mode))));
        let zone = self.zone.and_then(|at| row.get(at));
        settings.extend(zone.map(|zone| format!("SET time_zone = {}", literal(zone))));
        settings
    }

    pub(super) fn hidden(&self, name: &TableName) -> OtherObject {
        OtherObject {
            what: format!("{} whose text the source's user may not see", self.what),
            name: name.to_string(),
            native: None,
            is_of_engine: false,
        }
    }
}

/// The statement of an event, switched off.
pub(super) fn disabled(create: &str) -> String {
    // The schedule and the name stand before, the body behind.
    for kept in ["PRESERVE", "NOT PRESERVE"] {
        let on = format!(" ON COMPLETION {kept} ENABLE");
        if let Some((before, behind)) = create.split_once(&on) {
            return format!("{before} ON COMPLETION {kept} DISABLE{behind}");
        }
    }
    create.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_switched_off() {
        let shown = "CREATE DEFINER=`a`@`b` EVENT `e` ON SCHEDULE EVERY 1 DAY STARTS '2024-01-01 00:00:00' ON COMPLETION NOT PRESERVE ENABLE DO SELECT ' ON COMPLETION NOT PRESERVE ENABLE'";
        let off = disabled(shown);
        assert!(off.contains("STARTS '2024-01-01 00:00:00' ON COMPLETION NOT PRESERVE DISABLE DO SELECT ' ON COMPLETION NOT PRESERVE ENABLE'"), "{off}");
        let off = "CREATE EVENT `e` ON SCHEDULE AT '2024-01-01' ON COMPLETION PRESERVE DISABLE DO SELECT 1";
        assert_eq!(disabled(off), off);
    }
}
