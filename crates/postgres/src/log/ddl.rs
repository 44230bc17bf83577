//! Definitions in the log: event triggers of the source write what a statement made of its tables into the log, as a message of the
//! very transaction, so that it comes in its place among the rows. No table is needed for that.
//!
//! The server files a message under the end of its record, which is the beginning of the next one: of a transaction, the change right behind a
//! message may come before it. That does no harm, because each row comes with the columns that it has: the table is told with the row, and
//! the message tells it again.
//!
//! Making event triggers takes a superuser. Without them the stream tells a table's new columns when its next row comes, tables that come
//! when the catalog is looked at ([`super::newcomers`]), and nothing of tables that go.

use whimbrel_connector::Error;
use whimbrel_core::{Engine, Table, TableName};

use crate::catalog::{self, COLUMN_FIELDS, COLUMNS, KEYS};
use crate::errors::general;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, TextRow, WireError};

/// What a statement did.
#[derive(Debug, Default)]
pub(super) struct DdlMessage {
    /// Tables as they are now; some may be none of the task's.
    pub(super) tables: Vec<Table>,
    /// Ids and names of tables that went.
    pub(super) dropped: Vec<(u32, TableName)>,
    /// Ids of tables whose rows were computed anew, or came or went with partitions, which the log does not hold.
    pub(super) rewritten: Vec<u32>,
}

#[derive(serde::Deserialize)]
struct Content {
    #[serde(default)]
    tables: Vec<(u32, String, String)>,
    #[serde(default)]
    columns: Vec<TextRow>,
    #[serde(default)]
    keys: Vec<(u32, String)>,
    #[serde(default)]
    dropped: Vec<(u32, String, String)>,
    #[serde(default)]
    rewritten: Vec<u32>,
}

impl DdlMessage {
    /// Reads what the function wrote.
    pub(super) fn parse(content: &[u8]) -> Result<Self, Error> {
        let broken = |why: String| {
            Error::Fatal(format!(
                "the source's log has a message about a definition that cannot be understood: {why}; nothing of it was passed over"
            ))
        };
        let content: Content =
            serde_json::from_slice(content).map_err(|error| broken(error.to_string()))?;
        let mut tables = Vec::new();
        for (oid, schema, name) in content.tables {
            let mut table = Table {
                engine: Engine::Postgres,
                name: TableName::new(schema, name),
                columns: Vec::new(),
                primary_key: Vec::new(),
                id: Some(oid),
                key_prefixes: Vec::new(),
                row_estimate: None,
                byte_estimate: None,
                outside_snapshot: None,
                obstacle: None,
                notes: Vec::new(),
            };
            let is_ours = |row: &&TextRow| row.first().cloned().flatten() == Some(oid.to_string());
            for row in content.columns.iter().filter(is_ours) {
                let (column, _) =
                    catalog::column(row).map_err(|error| broken(error.to_string()))?;
                table.columns.push(column);
            }
            let key = content.keys.iter().filter(|(of, _)| *of == oid);
            let place =
                |name: &String| table.columns.iter().position(|column| column.name == *name);
            table.primary_key = key.filter_map(|(_, name)| place(name)).collect();
            tables.push(table);
        }
        let dropped = content.dropped.into_iter();
        Ok(Self {
            tables,
            dropped: dropped
                .map(|(oid, schema, name)| (oid, TableName::new(schema, name)))
                .collect(),
            rewritten: content.rewritten,
        })
    }
}

/// Makes the source tell definitions in its log. Whether it does.
///
/// Done again it leaves what is there. `name` is a word; `schema` is where the function lives.
pub(super) async fn install(
    connection: &mut Connection,
    name: &str,
    schema: &str,
) -> Result<bool, Error> {
    let failed = |error| {
        general(
            error,
            "make the event triggers that tell changes of definitions",
        )
    };
    if is_installed(connection, name).await? {
        return Ok(true);
    }
    let sql = [install_sql(name, schema), always_sql(name)].concat();
    match connection.query(&sql).await {
        Ok(_) => Ok(true),
        Err(WireError::Server(error)) => {
            connection.query("ROLLBACK").await.map_err(failed)?;
            tracing::warn!(
                %error,
                "changes of definitions are only seen at the next row of their table, tables that come when the catalog is looked at, and tables that go \
                 not at all: event triggers cannot be made at the source, which takes a superuser"
            );
            Ok(false)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whether the source tells definitions in its log.
pub(super) async fn is_installed(connection: &mut Connection, name: &str) -> Result<bool, Error> {
    let sql = format!(
        "SELECT count(*) FROM pg_event_trigger WHERE evtname IN ('{name}_end', '{name}_drop', '{name}_new', '{name}_start') AND evtenabled <> 'D'"
    );
    let found = connection.query(&sql).await;
    let found = found.map_err(|error| general(error, "look for the task's event triggers"))?;
    Ok(found.iter().flatten().flatten().next().map(String::as_str) == Some("4"))
}

/// Removes what [`install`] made, if it is there.
pub(super) async fn remove(connection: &mut Connection, name: &str) -> Result<(), Error> {
    let failed = |error| general(error, "remove the event triggers of the task");
    let sql = format!(
        "SELECT n.nspname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.proname = '{name}_ddl'"
    );
    let schemas: Vec<String> = connection
        .query(&sql)
        .await
        .map_err(failed)?
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    for schema in schemas {
        let sql = format!("DROP FUNCTION {}.{name}_ddl() CASCADE", identifier(&schema));
        connection.query(&sql).await.map_err(failed)?;
    }
    Ok(())
}

/// Statements that may attach, detach or drop a partition.
const MOVING: [&str; 3] = ["ALTER TABLE", "DROP TABLE", "DROP SCHEMA"];

/// The partitions with rows of each partitioned table that the task follows, as texts by the table's id. Read from the catalog alone: the server's
/// own function locks every partition that it names.
fn leaves(name: &str) -> String {
    format!(
        "(WITH RECURSIVE tree(root, relid) AS (
      SELECT c.oid, c.oid FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid
        WHERE p.pubname = {} AND c.relkind = 'p'
      UNION ALL SELECT t.root, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid)
    SELECT coalesce(json_object_agg(g.root, g.leaves), '{{}}') FROM (
      SELECT t.root::text AS root, coalesce(string_agg(t.relid::text, ',' ORDER BY t.relid) FILTER (WHERE c.relkind <> 'p'), '') AS leaves
        FROM tree t JOIN pg_class c ON c.oid = t.relid GROUP BY t.root) g)",
        literal(name)
    )
}

/// Notes in `moved` the tables of which partitions with rows came or went, by what they had when the statement began. One that was dropped can be
/// asked no more, and counts as one with rows.
fn compare_leaves(name: &str, leaves: &str) -> String {
    format!(
        "    BEGIN
      before := nullif(current_setting('{name}.leaves', true), '')::json;
      FOR root, leaf IN SELECT w.key, l.leaf::oid FROM json_each_text(before) w JOIN json_each_text({leaves}) n ON n.key = w.key,
          LATERAL ((SELECT unnest(string_to_array(w.value, ',')) EXCEPT SELECT unnest(string_to_array(n.value, ',')))
            UNION (SELECT unnest(string_to_array(n.value, ',')) EXCEPT SELECT unnest(string_to_array(w.value, ',')))) l(leaf)
          WHERE n.value <> w.value LOOP
        has_rows := true;
        IF EXISTS (SELECT FROM pg_class WHERE oid = leaf) THEN
          EXECUTE format('SELECT EXISTS (SELECT FROM %s)', leaf::regclass) INTO has_rows;
        END IF;
        IF has_rows THEN moved := moved || root::bigint; END IF;
      END LOOP;
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'partitions that moved are loaded again: %', SQLERRM;
      SELECT array_agg(key::bigint) INTO moved FROM json_each_text(before);
    END;"
    )
}

/// The catalog's rows are those from which tables are described, so that they are read by the same code. The function never makes a
/// statement fail: without its message the next row of the table tells.
fn install_sql(name: &str, schema: &str) -> String {
    let schema = identifier(schema);
    let texts: Vec<String> = (0..COLUMN_FIELDS)
        .map(|place| format!("c{place}::text"))
        .collect();
    let names: Vec<String> = (0..COLUMN_FIELDS)
        .map(|place| format!("c{place}"))
        .collect();
    let columns = COLUMNS.replace("$1", "oids");
    let keys = KEYS.replace("$1", "oids");
    let leaves = leaves(name);
    let compared = compare_leaves(name, &leaves);
    let body = format!(
        "DECLARE oids oid[]; content json; moved bigint[] := '{{}}'; before json; root text; leaf oid; has_rows boolean;
BEGIN
  IF tg_event = 'ddl_command_start' THEN
    -- Not of the transaction alone: a partition that is detached concurrently takes two.
    PERFORM set_config('{name}.leaves', {leaves}::text, false);
  ELSIF tg_event = 'sql_drop' THEN
    SELECT json_build_object('dropped', json_agg(json_build_array(objid::bigint, schema_name, object_name))) INTO content
      FROM pg_event_trigger_dropped_objects() WHERE object_type = 'table' AND NOT is_temporary AND classid = 'pg_class'::regclass
      HAVING count(*) > 0;
  ELSIF tg_event = 'table_rewrite' THEN
    -- 2: new defaults, 4: another type or expression. The others give no row another value.
    IF pg_event_trigger_table_rewrite_reason() & 6 <> 0 THEN
      -- A partition's rows are those of its root, which has no storage of its own.
      content := json_build_object('rewritten', json_build_array(coalesce(
        pg_partition_root(pg_event_trigger_table_rewrite_oid()), pg_event_trigger_table_rewrite_oid())::oid::bigint));
    END IF;
  ELSE
    IF tg_tag IN ({tags}) THEN
{compared}
    END IF;
    SELECT array_agg(DISTINCT c.oid) INTO oids FROM pg_event_trigger_ddl_commands() d JOIN pg_class c ON c.oid = d.objid
      WHERE d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p';
    IF oids IS NOT NULL THEN
      SELECT json_build_object(
        'rewritten', to_json(moved), 'tables', (SELECT json_agg(json_build_array(c.oid::bigint, n.nspname, c.relname))
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (oids)),
        'columns', (SELECT coalesce(json_agg(json_build_array({texts})), '[]') FROM ({columns}) AS rows({names})),
        'keys', (SELECT coalesce(json_agg(json_build_array(k0::bigint, k1)), '[]') FROM ({keys}) AS rows(k0, k1)))
      INTO content;
    ELSIF moved <> '{{}}' THEN
      content := json_build_object('rewritten', to_json(moved));
    END IF;
  END IF;
  IF content IS NOT NULL THEN
    PERFORM pg_logical_emit_message(true, {prefix}, content::text);
  END IF;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'a change of a definition is not told to the replication task: %', SQLERRM;
END",
        tags = MOVING.map(literal).join(", "),
        texts = texts.join(", "),
        names = names.join(", "),
        prefix = literal(&prefix(name)),
    );
    format!(
        "BEGIN;
CREATE OR REPLACE FUNCTION {schema}.{name}_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog AS {};
DROP EVENT TRIGGER IF EXISTS {name}_end; DROP EVENT TRIGGER IF EXISTS {name}_drop; DROP EVENT TRIGGER IF EXISTS {name}_new;
DROP EVENT TRIGGER IF EXISTS {name}_start;
CREATE EVENT TRIGGER {name}_end ON ddl_command_end EXECUTE FUNCTION {schema}.{name}_ddl();
CREATE EVENT TRIGGER {name}_drop ON sql_drop EXECUTE FUNCTION {schema}.{name}_ddl();
CREATE EVENT TRIGGER {name}_new ON table_rewrite EXECUTE FUNCTION {schema}.{name}_ddl();
CREATE EVENT TRIGGER {name}_start ON ddl_command_start WHEN TAG IN ({tags}) EXECUTE FUNCTION {schema}.{name}_ddl();
",
        literal(&body),
        tags = MOVING.map(literal).join(", "),
    )
}

/// The rest of [`install_sql`]: sessions of `session_replication_role = replica` change definitions as well.
fn always_sql(name: &str) -> String {
    let always = |part: &str| format!("ALTER EVENT TRIGGER {name}_{part} ENABLE ALWAYS;\n");
    ["end", "drop", "new", "start"].map(always).concat() + "COMMIT"
}

/// Tells the task's messages from those of others.
pub(super) fn prefix(name: &str) -> String {
    format!("{name}_ddl")
}
