//! Storage engines. Most keep one version of a row, so that a consistent snapshot is nothing to them.

/// Whether a snapshot covers rows that this storage engine keeps.
pub(super) fn keeps_versions(engine: &str) -> bool {
    engine.eq_ignore_ascii_case("InnoDB")
}

/// Why rows of another one are not covered, and what to do.
pub(super) fn outside_snapshot(engine: &str) -> String {
    format!(
        "its storage engine {engine} keeps no versions of rows, so that no snapshot covers it; convert it by ALTER TABLE … ENGINE = InnoDB"
    )
}

/// What that means for a load.
pub(super) fn note(engine: &str) -> String {
    format!(
        "its storage engine {engine} keeps no versions of rows: one statement reads it whole, as it is at that moment and not at that of the other tables, \
         and who writes to it may have to wait meanwhile"
    )
}
