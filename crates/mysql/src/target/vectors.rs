//! Columns of vectors at a server that has none.

use whimbrel_connector::TargetColumn;
use whimbrel_core::{ColumnType, Table};

/// Whether a MariaDB server of this version has the type `vector`: since 11.7. Some put a number before their version for the sake of old replicas.
pub(super) fn has_vectors(version: &str) -> bool {
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (11, 7),
        _ => true,
    }
}

/// Makes bytes of vectors, which is what they are.
pub(super) fn without_vectors(source: &Table, columns: &mut [TargetColumn]) -> Vec<String> {
    let mut notes = Vec::new();
    for (from, column) in source.loaded_columns().zip(columns) {
        if let ColumnType::Varbinary { length } = from.ty
            && column.native.starts_with("vector")
        {
            column.native = format!("varbinary({length})");
            notes.push(format!(
                "column {}: kept as bytes, because the server has no vectors",
                column.name
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_say_whether_there_are_vectors() {
        for version in [
            "11.7.2-MariaDB",
            "11.8.6-MariaDB-ubu2404",
            "12.0.1-MariaDB",
            "odd",
        ] {
            assert!(has_vectors(version), "{version}");
        }
        for version in [
            "10.11.19-MariaDB",
            "5.5.5-10.6.2-MariaDB-log",
            "11.4.5-MariaDB",
        ] {
            assert!(!has_vectors(version), "{version}");
        }
    }
}
