//! Privileges of accounts on databases, tables, columns and routines. Those on the whole server are not the migration's.

use std::collections::BTreeMap;

use whimbrel_core::TableName;
use whimbrel_core::objects::{ObjectKind, OtherObject, Requirement, Scripted};

use super::definer::account_exists;
use crate::catalog::objects::Described;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, WireError};

/// Grantee, what it is on, privilege, whether it may be passed on, and the column.
const ON_DATABASE: &str =
    "SELECT grantee, '', privilege_type, is_grantable, '' FROM information_schema.schema_privileges
    WHERE replace(table_schema, '\\\\_', '_') = database() ORDER BY 1, 3";
const ON_TABLES: &str = "SELECT grantee, table_name, privilege_type, is_grantable, '' FROM information_schema.table_privileges
    WHERE table_schema = database() ORDER BY 1, 2, 3";
const ON_COLUMNS: &str = "SELECT grantee, table_name, privilege_type, is_grantable, column_name FROM information_schema.column_privileges
    WHERE table_schema = database() ORDER BY 1, 2, 5, 3";
/// The names of privileges stand with commas between.
const ON_ROUTINES: &str = "SELECT concat('''', user, '''@''', host, ''''), routine_name, upper(proc_priv), 'NO', routine_type FROM mysql.procs_priv
    WHERE db = database() ORDER BY 1, 2";

/// Someone's privileges on one thing.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    grantee: String,
    on: On,
    is_passed_on: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum On {
    Database,
    Table(String),
    Columns(String),
    Routine(String, String),
}

pub(super) async fn read(
    connection: &mut Connection,
    described: &mut Described,
    database: &str,
) -> Result<(), WireError> {
    let mut found: BTreeMap<Place, Vec<(String, String)>> = BTreeMap::new();
    for (at, sql) in [ON_DATABASE, ON_TABLES, ON_COLUMNS, ON_ROUTINES]
        .iter()
        .enumerate()
    {
        let rows = match connection.rows(sql).await {
            Ok(rows) => rows,
            Err(WireError::Server(error)) if error.is_denied() => {
                described.objects.others.push(OtherObject {
                    what: "privileges on routines, which the source's user may not see,".to_owned(),
                    name: format!("of {database}"),
                    native: Some("GRANT SELECT ON mysql.procs_priv TO …".to_owned()),
                });
                continue;
            }
            Err(error) => return Err(error),
        };
        for row in rows {
            let (name, privilege, last) = (row.text(1), row.text(2), row.text(4));
            let on = match at {
                0 => On::Database,
                1 => On::Table(name.to_owned()),
                2 => On::Columns(name.to_owned()),
                _ => On::Routine(last.to_uppercase(), name.to_owned()),
            };
            let place = Place {
                grantee: row.text(0).to_owned(),
                on,
                is_passed_on: row.text(3) == "YES" || privilege.contains("GRANT"),
            };
            let column = if at == 2 {
                last.to_owned()
            } else {
                String::new()
            };
            let privileges = privilege
                .split(',')
                .filter(|privilege| !matches!(*privilege, "USAGE" | "GRANT"));
            let privileges = privileges.map(|privilege| (privilege.to_owned(), column.clone()));
            found.entry(place).or_default().extend(privileges);
        }
    }
    for (place, privileges) in found {
        let table = match &place.on {
            On::Table(name) | On::Columns(name) => Some(TableName::new(database, name)),
            On::Database | On::Routine(..) => None,
        };
        // Privileges on tables that stay behind stay with them. Views have theirs.
        let is_outside = table.is_some_and(|table| {
            let is_view = |script: &Scripted| {
                script.kind == ObjectKind::View && script.name == table.to_string()
            };
            !described.places.contains_key(&table) && !described.objects.scripts.iter().any(is_view)
        });
        if !is_outside && !privileges.is_empty() {
            let script = script(database, &place, &privileges);
            described.objects.scripts.push(script);
        }
    }
    Ok(())
}

fn script(database: &str, place: &Place, privileges: &[(String, String)]) -> Scripted {
    let listed: Vec<String> = privileges
        .iter()
        .map(|(privilege, column)| match column.as_str() {
            "" => privilege.clone(),
            column => format!("{privilege} ({})", identifier(column)),
        })
        .collect();
    let who = literal_account(&place.grantee);
    let (target, name) = match &place.on {
        // The session's database.
        On::Database => ("*".to_owned(), database.to_owned()),
        On::Table(name) | On::Columns(name) => (identifier(name), format!("{database}.{name}")),
        On::Routine(kind, name) => (
            format!("{kind} {}", identifier(name)),
            format!("{database}.{name}"),
        ),
    };
    let option = if place.is_passed_on {
        " WITH GRANT OPTION"
    } else {
        ""
    };
    let sql = format!("GRANT {} ON {target} TO {who}{option}", listed.join(", "));
    let mut script = Scripted::new(
        ObjectKind::Grant,
        "grant",
        format!("{name} to {}", place.grantee),
        sql,
        held(place, privileges),
    );
    script.schema = Some(database.to_owned());
    script.requires.push(Requirement {
        query: account_exists(&place.grantee),
        lacking: format!(
            "the target has no account {}, or its user may not see it: make the account there, and make the objects again",
            place.grantee
        ),
    });
    script
}

/// The server gives user and host in quotes, without escapes.
fn literal_account(grantee: &str) -> String {
    let inner = grantee
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    match inner.and_then(|inner| inner.rsplit_once("'@'")) {
        Some((user, host)) => format!("{}@{}", identifier(user), identifier(host)),
        None => grantee.to_owned(),
    }
}

/// Whether someone has all of it already.
fn held(place: &Place, privileges: &[(String, String)]) -> String {
    let names: Vec<String> = privileges.iter().map(|(name, _)| literal(name)).collect();
    let (names, count) = (names.join(", "), privileges.len());
    let grantee = literal(&place.grantee);
    let passed = if place.is_passed_on {
        " AND is_grantable = 'YES'"
    } else {
        ""
    };
    let of = |view: &str, on: &str| {
        format!(
            "SELECT 1 FROM information_schema.{view} WHERE grantee = {grantee}{passed} AND {on} AND privilege_type IN ({names}) HAVING count(*) >= {count}"
        )
    };
    match &place.on {
        On::Database => of(
            "schema_privileges",
            "replace(table_schema, '\\\\_', '_') = database()",
        ),
        On::Table(table) => of(
            "table_privileges",
            &format!(
                "table_schema = database() AND table_name = {}",
                literal(table)
            ),
        ),
        On::Columns(table) => {
            let columns: Vec<String> = privileges
                .iter()
                .map(|(name, column)| format!("({}, {})", literal(name), literal(column)))
                .collect();
            let on = format!(
                "table_schema = database() AND table_name = {} AND (privilege_type, column_name) IN ({})",
                literal(table),
                columns.join(", ")
            );
            of("column_privileges", &on)
        }
        // Nobody but who may read the server's own tables can tell; to grant it twice changes nothing.
        On::Routine(..) => "SELECT 1 FROM DUAL WHERE FALSE".to_owned(),
    }
}
