//! Table mappings: which tables of a source a task migrates.
