//! Tables at the target in which users and their tools read how a task is, as the service's manual has them ("Control table task
//! settings"). All tasks of a target share them. Nothing that a task needs to go on is there.

use whimbrel_core::{DAYS_1970_TO_2000, MICROS_PER_DAY, Timestamp, Value, write_text};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    /// Text of at most so many characters.
    Text(u16),
    /// A moment, in UTC.
    Time,
    /// A whole number of 64 bits.
    Number,
}

/// A column: its name, what it holds, and whether it always holds something.
pub type ControlColumn = (&'static str, ControlKind, bool);

/// A table that users read.
#[derive(Debug, PartialEq, Eq)]
pub struct ControlTable {
    /// Its name.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: &'static [ControlColumn],
    /// So many of the first columns tell rows apart; 0: none do.
    pub key_columns: usize,
}

use ControlKind::{Number, Text, Time};

/// One row for each task: what it does, and how far it is.
pub static STATUS: ControlTable = ControlTable {
    name: "awsdms_status",
    columns: &[
        ("server_name", Text(128), true),
        ("task_name", Text(128), true),
        ("task_status", Text(32), false),
        ("status_time", Time, false),
        ("pending_changes", Number, false),
        ("disk_swap_size", Number, false),
        ("task_memory", Number, false),
        ("source_current_position", Text(128), false),
        ("source_current_timestamp", Time, false),
        ("source_tail_position", Text(128), false),
        ("source_tail_timestamp", Time, false),
        ("source_timestamp_applied", Time, false),
    ],
    key_columns: 2,
};

/// One row for each slice of time.
pub static HISTORY: ControlTable = ControlTable {
    name: "awsdms_history",
    columns: &[
        ("server_name", Text(128), true),
        ("task_name", Text(128), true),
        ("timeslot_type", Text(32), true),
        ("timeslot", Time, true),
        ("timeslot_duration", Number, false),
        ("timeslot_latency", Number, false),
        ("timeslot_records", Number, false),
        ("timeslot_volume", Number, false),
    ],
    key_columns: 4,
};

/// One row for each task: from where another may go on with its changes.
pub static TXN_STATE: ControlTable = ControlTable {
    name: "awsdms_txn_state",
    columns: &[
        ("SERVER_NAME", Text(128), true),
        ("TASK_NAME", Text(128), true),
        ("STATE_TIME", Time, true),
        ("CHECKPOINT", Text(1024), true),
    ],
    key_columns: 2,
};

/// One row for each table that is followed no more, or could not be loaded.
pub static SUSPENDED: ControlTable = ControlTable {
    name: "awsdms_suspended_tables",
    columns: &[
        ("server_name", Text(128), true),
        ("task_name", Text(128), true),
        ("table_owner", Text(128), true),
        ("table_name", Text(128), true),
        ("suspend_reason", Text(32), false),
        ("suspend_timestamp", Time, false),
    ],
    key_columns: 4,
};

/// One row for each row of a table that was found to differ when both ends were compared.
pub static VALIDATION_FAILURES: ControlTable = ControlTable {
    name: "awsdms_validation_failures_v1",
    columns: &[
        ("TASK_NAME", Text(128), true),
        ("TABLE_OWNER", Text(128), true),
        ("TABLE_NAME", Text(128), true),
        ("FAILURE_TIME", Time, true),
        ("KEY_TYPE", Text(128), true),
        ("KEY", Text(7800), true),
        ("FAILURE_TYPE", Text(128), true),
        ("DETAILS", Text(7800), true),
    ],
    key_columns: 0,
};

/// One row for each row of a table that was left out of its load because the target refused it.
pub static LOAD_EXCEPTIONS: ControlTable = ControlTable {
    name: "awsdms_full_load_exceptions",
    columns: &[
        ("TASK_NAME", Text(128), true),
        ("TABLE_OWNER", Text(128), true),
        ("TABLE_NAME", Text(128), true),
        ("ERROR_TIME", Time, true),
        ("STATEMENT", Text(7800), true),
        ("ERROR", Text(7800), true),
    ],
    key_columns: 0,
};

/// Rows of one statement: far from what servers take at once, with the longest rows that there are.
const ROWS_PER_STATEMENT: usize = 100;

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlValue {
    /// Nothing.
    Null,
    /// Text; what is too long for its column is cut.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Microseconds since 1970.
    Time(i64),
}

/// Rows that take the place of those whose first cells are `replaces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlWrite {
    /// Where.
    pub table: &'static ControlTable,
    /// The first cells of the rows that go; at least the task's name, and the server's before it where the table has that. Without any, none go.
    pub replaces: Vec<ControlValue>,
    /// The rows that come.
    pub rows: Vec<Vec<ControlValue>>,
}

/// How an engine writes SQL.
#[derive(Clone, Copy, Debug)]
pub struct ControlDialect {
    /// Quotes a name.
    pub identifier: fn(&str) -> String,
    /// Quotes text.
    pub literal: fn(&str) -> String,
    /// The type of moments.
    pub time: &'static str,
    /// `UNIQUE`, or `PRIMARY KEY` where a server may demand one.
    pub key: &'static str,
    /// Behind the columns of a new table.
    pub options: &'static str,
}

impl ControlTable {
    /// Its name in a schema, in SQL.
    pub fn name_in(&self, schema: &str, dialect: &ControlDialect) -> String {
        let quote = dialect.identifier;
        format!("{}.{}", quote(schema), quote(self.name))
    }

    /// The statement that makes it where it is missing.
    pub fn create(&self, schema: &str, dialect: &ControlDialect) -> String {
        let columns = self.columns.iter().map(|(name, kind, is_required)| {
            let ty = match kind {
                Text(length) => format!("varchar({length})"),
                Time => dialect.time.to_owned(),
                Number => "bigint".to_owned(),
            };
            let null = if *is_required { "NOT NULL" } else { "NULL" };
            format!("{} {ty} {null}, ", (dialect.identifier)(name))
        });
        let columns: String = columns.collect();
        let key = self.columns.iter().take(self.key_columns);
        let key: Vec<String> = key.map(|(name, ..)| (dialect.identifier)(name)).collect();
        let parts = if key.is_empty() {
            columns.trim_end_matches(", ").to_owned()
        } else {
            format!("{columns}{} ({})", dialect.key, key.join(", "))
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({parts}){}",
            self.name_in(schema, dialect),
            dialect.options
        )
    }
}

impl ControlWrite {
    /// The statements that write the rows, to be run in one transaction.
    pub fn statements(&self, schema: &str, dialect: &ControlDialect) -> Vec<String> {
        let table = self.table.name_in(schema, dialect);
        let columns = self.table.columns;
        let condition: Vec<String> = columns
            .iter()
            .zip(&self.replaces)
            .map(|(column, value)| {
                let name = (dialect.identifier)(column.0);
                format!("{name} = {}", literal(column.1, value, dialect))
            })
            .collect();
        let mut statements = Vec::new();
        if !condition.is_empty() {
            let condition = condition.join(" AND ");
            statements.push(format!("DELETE FROM {table} WHERE {condition}"));
        }
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let cells = columns.iter().zip(row);
                let cells = cells.map(|(column, value)| literal(column.1, value, dialect));
                format!("({})", cells.collect::<Vec<_>>().join(", "))
            })
            .collect();
        let inserts = rows.chunks(ROWS_PER_STATEMENT);
        statements
            .extend(inserts.map(|rows| format!("INSERT INTO {table} VALUES {}", rows.join(", "))));
        statements
    }
}

fn literal(kind: ControlKind, value: &ControlValue, dialect: &ControlDialect) -> String {
    match value {
        ControlValue::Null => "NULL".to_owned(),
        ControlValue::Number(number) => number.to_string(),
        ControlValue::Text(text) => {
            let length = match kind {
                Text(length) => usize::from(length),
                Time | Number => usize::MAX,
            };
            let short: String = text.chars().take(length).collect();
            (dialect.literal)(&short.replace('\0', ""))
        }
        ControlValue::Time(since_1970) => {
            let shift = i64::from(DAYS_1970_TO_2000) * MICROS_PER_DAY;
            let at = Timestamp::Micros(since_1970.saturating_sub(shift));
            let mut text = Vec::new();
            write_text(&Value::Timestamp(at), &mut text);
            (dialect.literal)(&String::from_utf8_lossy(&text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: ControlDialect = ControlDialect {
        identifier: |name| format!("[{name}]"),
        literal: |text| format!("'{}'", text.replace('\'', "''")),
        time: "timestamp",
        key: "UNIQUE",
        options: "",
    };

    #[test]
    fn a_table_has_its_columns_and_its_key() {
        assert_eq!(
            SUSPENDED.create("public", &DIALECT),
            "CREATE TABLE IF NOT EXISTS [public].[awsdms_suspended_tables] ([server_name] varchar(128) NOT NULL, \
             [task_name] varchar(128) NOT NULL, [table_owner] varchar(128) NOT NULL, [table_name] varchar(128) NOT NULL, \
             [suspend_reason] varchar(32) NULL, [suspend_timestamp] timestamp NULL, \
             UNIQUE ([server_name], [task_name], [table_owner], [table_name]))"
        );
        let without_key = VALIDATION_FAILURES.create("public", &DIALECT);
        assert!(
            without_key.ends_with("[DETAILS] varchar(7800) NOT NULL)"),
            "{without_key}"
        );
    }

    #[test]
    fn rows_take_the_place_of_earlier_ones() {
        let text = |text: &str| ControlValue::Text(text.to_owned());
        let mut write = ControlWrite {
            table: &SUSPENDED,
            replaces: vec![text("here"), text("it's")],
            rows: vec![vec![
                text("here"),
                text("it's"),
                text("s"),
                text("t"),
                text(&"x".repeat(40)),
                ControlValue::Time(1_000_000),
            ]],
        };
        let reason = "x".repeat(32);
        let delete = "DELETE FROM [public].[awsdms_suspended_tables] WHERE [server_name] = 'here' AND [task_name] = 'it''s'";
        assert_eq!(
            write.statements("public", &DIALECT),
            [
                delete.to_owned(),
                format!(
                    "INSERT INTO [public].[awsdms_suspended_tables] VALUES ('here', 'it''s', 's', 't', '{reason}', '1970-01-01 00:00:01')"
                ),
            ]
        );
        let insert = write.statements("public", &DIALECT).pop();
        let added = ControlWrite {
            replaces: Vec::new(),
            ..write.clone()
        };
        assert_eq!(added.statements("public", &DIALECT).pop(), insert);
        assert_eq!(added.statements("public", &DIALECT).len(), 1);
        write.rows.clear();
        assert_eq!(write.statements("public", &DIALECT), [delete]);
    }
}
