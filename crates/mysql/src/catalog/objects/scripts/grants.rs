//! Privileges of accounts on databases, tables, columns and routines. Those on the whole server are not the migration's.

use std::collections::BTreeMap;

use whimbrel_core::TableName;
use whimbrel_core::objects::{ObjectKind, OtherObject, Requirement, Scripted};

use super::definer::account_exists;
use super::named::Case;
use crate::catalog::objects::Described;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, TextRow, WireError};

/// Grantee, what it is on, privilege, whether it may be passed on, the column, and the database as it was given. Names are compared here and not by the
/// server, to whose catalog upper and lower case are one.
const ON_DATABASES: &str = "SELECT grantee, '', privilege_type, is_grantable, '', table_schema FROM information_schema.schema_privileges
    ORDER BY 1, 6, 3";
const ON_TABLES: &str = "SELECT grantee, table_name, privilege_type, is_grantable, '', table_schema FROM information_schema.table_privileges
    WHERE table_schema = database() ORDER BY 1, 2, 3";
const ON_COLUMNS: &str = "SELECT grantee, table_name, privilege_type, is_grantable, column_name, table_schema FROM information_schema.column_privileges
    WHERE table_schema = database() ORDER BY 1, 2, 5, 3";
/// The names of privileges stand with commas between.
const ON_ROUTINES: &str = "SELECT concat('''', user, '''@''', host, ''''), routine_name, upper(proc_priv), 'NO', routine_type, db FROM mysql.procs_priv
    WHERE db = database() ORDER BY 1, 2";

/// Someone's privileges on one thing.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    grantee: String,
    on: On,
    is_passed_on: bool,
}

impl Place {
    /// Whether it is on a view or routine that is made by its text.
    fn is_on(&self, database: &str, made: &Scripted) -> bool {
        let name = |name: &str| made.name == format!("{database}.{name}");
        match &self.on {
            On::Database => false,
            On::Table(view) | On::Columns(view) => made.kind == ObjectKind::View && name(view),
            On::Routine(kind, routine) => {
                made.kind == ObjectKind::Routine
                    && kind.eq_ignore_ascii_case(&made.what)
                    && name(routine)
            }
        }
    }
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
    let case = Case::read(connection).await?;
    for (at, sql) in [ON_DATABASES, ON_TABLES, ON_COLUMNS, ON_ROUTINES]
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
                    is_of_engine: false,
                });
                continue;
            }
            Err(error) => return Err(error),
        };
        for row in rows {
            let (name, privilege, last) = (row.text(1), row.text(2), row.text(4));
            let is_its = match at {
                0 => case.exactly(row.text(5), database),
                _ => case.is_same(row.text(5), database),
            };
            if !is_its {
                if at == 0 && case.matches(row.text(5), database) {
                    list_pattern(described, &row);
                }
                continue;
            }
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
        if !privileges.is_empty() && !is_outside(described, database, &place) {
            let mut script = script(database, &place, &privileges);
            script.likeness = described
                .objects
                .scripts
                .iter()
                .find(|made| place.is_on(database, made))
                .and_then(|made| made.likeness.clone());
            described.objects.scripts.push(script);
        }
    }
    Ok(())
}

/// Privileges on tables that stay behind stay with them. Views have theirs.
fn is_outside(described: &Described, database: &str, place: &Place) -> bool {
    let table = match &place.on {
        On::Table(name) | On::Columns(name) => TableName::new(database, name),
        On::Database | On::Routine(..) => return false,
    };
    let is_view =
        |script: &Scripted| script.kind == ObjectKind::View && script.name == table.to_string();
    !described.places.contains_key(&table) && !described.objects.scripts.iter().any(is_view)
}

/// A grant on a pattern is on databases that are not the migration's too, and those that will be made.
fn list_pattern(described: &mut Described, row: &TextRow) {
    let (grantee, privilege, pattern) = (row.text(0), row.text(2), row.text(5));
    if privilege == "USAGE" {
        return;
    }
    let others = &mut described.objects.others;
    let name = format!("{privilege} on {} to {grantee}", identifier(pattern));
    if others.iter().any(|other| other.name == name) {
        return;
    }
    let option = if row.text(3) == "YES" {
        " WITH GRANT OPTION"
    } else {
        ""
    };
    let sql = format!(
        "GRANT {privilege} ON {}.* TO {}{option}",
        identifier(pattern),
        literal_account(grantee)
    );
    others.push(OtherObject {
        what: "grant on all databases whose names match a pattern,".to_owned(),
        name,
        native: Some(sql),
        is_of_engine: false,
    });
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
    if place.on == On::Database {
        script.requires.push(Requirement {
            query: shadows_nothing(&place.grantee, privileges),
            lacking: format!(
                "the target has a grant for that account's user by another pattern or host, with privileges that this one has not; the server looks at the first that \
                 fits, which would then be this one, and {} would lose the others: grant what is needed by hand",
                place.grantee
            ),
        });
    }
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

/// A query that gives a row unless a grant on the session's database alone would hide another one. For a database the server takes the first grant of the user
/// that matches name and host, those on one database before those on patterns, and adds no others to it. Who has one on this database alone has the
/// others hidden already; and nothing is lost of one with no other privileges than this.
fn shadows_nothing(grantee: &str, privileges: &[(String, String)]) -> String {
    let names: Vec<String> = privileges.iter().map(|(name, _)| literal(name)).collect();
    let user = grantee.rsplit_once("'@'").map_or(grantee, |(user, _)| user);
    let (names, grantee) = (names.join(", "), literal(grantee));
    // A user without a name is everybody.
    let user = literal(user);
    format!(
        "SELECT 1 FROM DUAL WHERE EXISTS (SELECT 1 FROM information_schema.schema_privileges WHERE grantee = {grantee} AND {EXACTLY})
         OR NOT EXISTS (SELECT 1 FROM information_schema.schema_privileges WHERE substring_index(grantee, '''@''', 1) IN ({user}, '''')
           AND database() LIKE table_schema AND privilege_type NOT IN ('USAGE', {names}))"
    )
}

/// With its wildcards escaped: without, it would be held on others too.
const EXACTLY: &str = "CAST(table_schema AS BINARY) = CAST(replace(replace(database(), '_', '\\\\_'), '%', '\\\\%') AS BINARY)";

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
        On::Database => of("schema_privileges", EXACTLY),
        On::Table(table) => of(
            "table_privileges",
            &format!(
                "CAST(table_schema AS BINARY) = CAST(database() AS BINARY) AND CAST(table_name AS BINARY) = CAST({} AS BINARY)",
                literal(table)
            ),
        ),
        On::Columns(table) => {
            let columns: Vec<String> = privileges
                .iter()
                .map(|(name, column)| format!("({}, {})", literal(name), literal(column)))
                .collect();
            let on = format!(
                "CAST(table_schema AS BINARY) = CAST(database() AS BINARY) AND CAST(table_name AS BINARY) = CAST({} AS BINARY) AND (privilege_type, column_name) IN ({})",
                literal(table),
                columns.join(", ")
            );
            of("column_privileges", &on)
        }
        // Nobody but who may read the server's own tables can tell; to grant it twice changes nothing.
        On::Routine(..) => "SELECT 1 FROM DUAL WHERE FALSE".to_owned(),
    }
}
