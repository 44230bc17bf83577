//! Rows that differ, in words for `awsdms_validation_failures_v1`.

use std::fmt::Write as _;

use whimbrel_connector::KeyCell;
use whimbrel_connector::control_tables::{ControlValue, ControlWrite, VALIDATION_FAILURES};
use whimbrel_core::TableName;

use super::pending::{Look, Seen};

/// Longer values are cut here: what is written down helps to find the row, it does not keep it.
pub(super) const VALUE_CHARS: usize = 200;
/// What a column for details holds.
const DETAILS_CHARS: usize = 7800;

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    key: Vec<KeyCell>,
    at_us: i64,
    kind: &'static str,
    details: String,
}

impl Failure {
    /// What a look found of a row; `columns` are the names of its cells.
    pub(super) fn of(key: Vec<KeyCell>, look: &Look, columns: &[&str], at_us: i64) -> Self {
        let (kind, details) = match (&look.source, &look.target) {
            (Some(_), None) => ("MISSING_TARGET", String::new()),
            (None, Some(_)) => ("MISSING_SOURCE", String::new()),
            (Some(source), Some(target)) => {
                ("RECORD_DIFF", differing_cells(source, target, columns))
            }
            // Two absent rows are equal.
            (None, None) => ("RECORD_DIFF", String::new()),
        };
        Self {
            key,
            at_us,
            kind,
            details,
        }
    }

    /// Whether it is of the row with this key.
    pub(super) fn is_of(&self, key: &[KeyCell]) -> bool {
        self.key == key
    }

    fn row(&self, task: &str, table: &TableName) -> Vec<ControlValue> {
        let key: Vec<String> = self.key.iter().map(KeyCell::to_text).collect();
        let key = format!("{{\"key\": {}}}", serde_json::Value::from(key));
        vec![
            text(task),
            text(&table.schema),
            text(&table.name),
            ControlValue::Time(self.at_us),
            text("Row"),
            text(&key),
            text(self.kind),
            text(&self.details),
        ]
    }
}

/// All failures of one table, in place of those written before.
pub(super) fn write_of(task: &str, table: &TableName, failures: &[Failure]) -> ControlWrite {
    ControlWrite {
        table: &VALIDATION_FAILURES,
        replaces: vec![text(task), text(&table.schema), text(&table.name)],
        rows: failures
            .iter()
            .map(|failure| failure.row(task, table))
            .collect(),
    }
}

/// Pairs of the cells at source and target, as the service writes them.
fn differing_cells(source: &Seen, target: &Seen, columns: &[&str]) -> String {
    let mut details = "[".to_owned();
    let cells = source.cells.iter().zip(&target.cells);
    let texts = source.texts.iter().zip(&target.texts);
    for ((name, (here, there)), (is, becomes)) in columns.iter().zip(cells).zip(texts) {
        if here == there || details.len() > DETAILS_CHARS {
            continue;
        }
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
        let name = quoted(name);
        write!(
            details,
            "[{{'{name}': '{}'}}, {{'{name}': '{}'}}],",
            quoted(is),
            quoted(becomes)
        )
        .expect("writing to a string cannot fail");
    }
    details.push(']');
    details
}

fn text(text: &str) -> ControlValue {
    ControlValue::Text(text.to_owned())
}

#[cfg(test)]
mod tests {
    use whimbrel_core::RowHash;

    use super::*;

    fn seen(cells: &[(u128, &str)]) -> Seen {
        Seen {
            cells: cells.iter().map(|(hash, _)| RowHash(*hash)).collect(),
            texts: cells.iter().map(|(_, text)| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn a_failure_names_key_columns_and_both_values() {
        let source = seen(&[(1, "7"), (2, "it's"), (3, "same")]);
        let target = seen(&[(1, "7"), (4, "that"), (3, "same")]);
        let look = Look {
            source_after: Some(source.clone()),
            source: Some(source),
            target: Some(target),
        };
        let key = vec![KeyCell::Number("7".into()), KeyCell::Text("a\"b".into())];
        let failure = Failure::of(key, &look, &["id", "note", "other"], 5);
        let write = write_of("task", &TableName::new("s", "t"), &[failure]);
        let row = &write.rows[0];
        assert_eq!(row[5], text(r#"{"key": ["7","a\"b"]}"#));
        assert_eq!(row[6], text("RECORD_DIFF"));
        assert_eq!(row[7], text(r"[[{'note': 'it\'s'}, {'note': 'that'}],]"));
    }

    #[test]
    fn a_row_at_one_end_only_is_missing_at_the_other() {
        let row = seen(&[(1, "7")]);
        let mut look = Look {
            source: Some(row.clone()),
            source_after: Some(row.clone()),
            target: None,
        };
        assert_eq!(
            Failure::of(Vec::new(), &look, &["id"], 0).kind,
            "MISSING_TARGET"
        );
        (look.source, look.target) = (None, Some(row));
        assert_eq!(
            Failure::of(Vec::new(), &look, &["id"], 0).kind,
            "MISSING_SOURCE"
        );
    }
}
