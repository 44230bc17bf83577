//! The statements, in the common tongue of SQLite and PostgreSQL. All values travel as parameters.

pub(super) const GET: &str =
    "SELECT id, name, parent, seq, version, doc FROM resources WHERE kind = $1 AND id = $2";

pub(super) const GET_BY_NAME: &str =
    "SELECT id, name, parent, seq, version, doc FROM resources WHERE kind = $1 AND name = $2";

pub(super) const PAGE: &str = "SELECT id, name, parent, seq, version, doc FROM resources \
     WHERE kind = $1 AND seq > $2 ORDER BY seq LIMIT $3";

pub(super) const PAGE_OF_PARENT: &str = "SELECT id, name, parent, seq, version, doc FROM resources \
     WHERE kind = $1 AND parent = $4 AND seq > $2 ORDER BY seq LIMIT $3";

pub(super) const NEXT_SEQ: &str =
    "UPDATE counters SET value = value + 1 WHERE name = 'seq' RETURNING value";

// A conflict is answered by the count of rows rather than by an error, which would end a PostgreSQL transaction.
pub(super) const INSERT: &str = "INSERT INTO resources (kind, id, name, parent, seq, version, doc) \
     VALUES ($1, $2, $3, $4, $5, 1, $6) ON CONFLICT DO NOTHING";

pub(super) const UPDATE: &str = "UPDATE resources SET name = $3, parent = $4, doc = $5, version = version + 1 \
     WHERE kind = $1 AND id = $2 AND version = $6";

pub(super) const DELETE: &str = "DELETE FROM resources WHERE kind = $1 AND id = $2";

pub(super) const DELETE_CHILDREN: &str = "DELETE FROM resources WHERE kind = $1 AND parent = $2";

pub(super) const CREATE_VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_versions \
     (version BIGINT NOT NULL PRIMARY KEY, applied_at_ms BIGINT NOT NULL)";

pub(super) const CURRENT_VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM schema_versions";

pub(super) const RECORD_VERSION: &str =
    "INSERT INTO schema_versions (version, applied_at_ms) VALUES ($1, $2)";
