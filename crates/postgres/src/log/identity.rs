//! By what the log tells the rows of a table apart: its replica identity.

use std::collections::{BTreeMap, HashMap};

use whimbrel_connector::{Error, TableFault};
use whimbrel_core::{Table, TableName};

use crate::errors::general;
use crate::quote;
use crate::wire::{Connection, TextRow, WireError};

/// The tables in `$1` with all their partitions. For each: the table that was asked for, whether it is that one, its own name, its
/// kind and persistence, its replica identity, the columns of the index that this identity stands on, one of them that is generated,
/// and why FULL would not do ([`NoFull`]).
///
/// A generated column is not sent. From version 18 on the server refuses updates and deletes of a published table whose identity
/// has one (`pub_contains_invalid_column`).
const IDENTITIES: &str = "
with recursive asked(schema, name) as (values $1), tree(root, oid) as (
  select c.oid, c.oid from asked a join pg_namespace n on n.nspname = a.schema
  join pg_class c on c.relnamespace = n.oid and c.relname = a.name and c.relkind in ('r', 'p')
  union all
  select t.root, i.inhrelid from tree t join pg_class p on p.oid = t.oid and p.relkind = 'p'
  join pg_inherits i on i.inhparent = t.oid
)
select rn.nspname, r.relname, t.root = t.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident,
       key.columns, key.generated, case
         when exists (select from pg_index p where p.indrelid = c.oid and p.indisprimary and not p.indimmediate) then 'd'
         when current_setting('server_version_num')::int >= 180000
           and exists (select from pg_attribute g where g.attrelid = c.oid and g.attgenerated <> '' and not g.attisdropped) then 'g' end
from tree t join pg_class c on c.oid = t.oid join pg_namespace n on n.oid = c.relnamespace
join pg_class r on r.oid = t.root join pg_namespace rn on rn.oid = r.relnamespace
cross join lateral (select json_agg(a.attname order by k.place)::text as columns,
         min(a.attname::text) filter (where a.attgenerated <> '') as generated
  from pg_index i cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
  where i.indrelid = c.oid and i.indisvalid and k.place <= i.indnkeyatts
  and case c.relreplident when 'd' then i.indisprimary and i.indimmediate when 'i' then i.indisreplident else false end) key";

/// How the rows of one relation are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// By all their columns.
    Full,
    /// By these columns.
    Key(Vec<String>),
    /// Not at all: the server refuses to update or delete them once they are published.
    None,
}

/// Why the rows of a relation cannot be told apart by all their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoFull {
    /// The server refuses to update or delete them once they are published: some columns are generated.
    Generated,
    /// Several rows may have one primary key until the statement, or the transaction, is over. The log tells each of their changes, so that rows
    /// which are followed by that key would be taken for each other.
    Deferrable,
}

/// A relation that holds rows of a table, or the table itself.
#[derive(Clone, Debug)]
struct Member {
    is_root: bool,
    name: TableName,
    kind: char,
    is_logged: bool,
    identity: Identity,
    /// A generated column of the key.
    generated: Option<String>,
    no_full: Option<NoFull>,
}

/// The identities of tables, by the name of the table.
#[derive(Debug, Default)]
pub(super) struct Identities(HashMap<TableName, Vec<Member>>);

impl Identities {
    pub(super) async fn read(connection: &mut Connection, tables: &[Table]) -> Result<Self, Error> {
        let mut identities = Self::default();
        if tables.is_empty() {
            return Ok(identities);
        }
        let names = tables.iter().map(|table| {
            let name = &table.name;
            format!(
                "({}, {})",
                quote::literal(&name.schema),
                quote::literal(&name.name)
            )
        });
        let sql = IDENTITIES.replace("$1", &names.collect::<Vec<_>>().join(", "));
        let failed = |error| general(error, "read the replica identities of the tables");
        for row in connection.query(&sql).await.map_err(failed)? {
            let (root, member) = member(&row).map_err(failed)?;
            identities.0.entry(root).or_default().push(member);
        }
        Ok(identities)
    }

    /// How a table's own rows are told apart, as the log will say it.
    pub(super) fn of(&self, table: &TableName) -> Option<&Identity> {
        let members = self.0.get(table)?;
        let root = members.iter().find(|member| member.is_root)?;
        Some(&root.identity)
    }

    /// Whether the log tells every column of rows before an update, of all relations that hold rows of the table.
    pub(super) fn tells_old_rows(&self, table: &TableName) -> bool {
        let members = self.0.get(table);
        members.is_some_and(|members| {
            let mut holders = members.iter().filter(|member| member.kind != 'p');
            holders.all(|member| member.identity == Identity::Full)
        })
    }

    /// Whether the table, with all that holds its rows, can be followed with FULL.
    pub(super) fn takes_full(&self, table: &TableName) -> bool {
        let mut members = self.0.get(table).into_iter().flatten();
        members.all(|member| member.no_full.is_none())
    }

    /// Why a table that is followed with FULL cannot be any more: its primary key has become DEFERRABLE.
    pub(super) fn deferrable(&self, table: &TableName) -> Option<TableFault> {
        let mut members = self.0.get(table)?.iter();
        let is_deferrable = |member: &Member| {
            member.identity == Identity::Full && member.no_full == Some(NoFull::Deferrable)
        };
        if !members.any(is_deferrable) {
            return None;
        }
        self.refusal(table)
    }

    /// Why a table cannot be captured, with the remedy.
    pub(super) fn refusal(&self, table: &TableName) -> Option<TableFault> {
        let message = match self.0.get(table) {
            None => {
                Some("it was dropped or renamed; exclude it, or start the task again".to_owned())
            }
            Some(members) => members
                .iter()
                .find_map(|member| member.refusal(self.of(table))),
        };
        message.map(|message| TableFault {
            table: table.clone(),
            message,
        })
    }

    /// The tables that can be captured, with their names quoted for SQL.
    pub(super) fn usable(&self, tables: &[Table]) -> BTreeMap<TableName, String> {
        let usable = tables
            .iter()
            .filter(|table| self.refusal(&table.name).is_none());
        usable
            .map(|table| (table.name.clone(), quote::table(&table.name)))
            .collect()
    }
}

impl Member {
    fn refusal(&self, root: Option<&Identity>) -> Option<String> {
        let what = if self.is_root {
            "it".to_owned()
        } else {
            format!("its partition {}", self.name)
        };
        let name = quote::table(&self.name);
        if self.kind == 'f' {
            return Some(format!(
                "{what} is a foreign table, whose changes are in another server's log; detach it, or exclude the table"
            ));
        }
        if !self.is_logged {
            return Some(format!(
                "{what} is unlogged, so that its changes are in no log; run ALTER TABLE {name} SET LOGGED"
            ));
        }
        let index = format!(
            "make a unique index of NOT NULL columns that are not generated, if there is none, and run ALTER TABLE {name} REPLICA IDENTITY USING INDEX with its name"
        );
        if let Some(column) = &self.generated {
            return Some(format!(
                "the replica identity of {what} has the generated column {column}, which the log does not tell; {index}"
            ));
        }
        let (full, key) = match self.no_full {
            None => (
                format!("run ALTER TABLE {name} REPLICA IDENTITY FULL"),
                "add a primary key",
            ),
            Some(NoFull::Generated) => (index, "add a primary key"),
            Some(NoFull::Deferrable) => (index, "make the primary key one that is not DEFERRABLE"),
        };
        match (&self.identity, root) {
            (Identity::Full, _) if self.no_full == Some(NoFull::Generated) => Some(format!(
                "{what} has generated columns and REPLICA IDENTITY FULL, with which PostgreSQL 18 and later refuse each update and delete of a published table; {full}"
            )),
            (Identity::Full, _) if self.no_full == Some(NoFull::Deferrable) => Some(format!(
                "{what} has a DEFERRABLE primary key and REPLICA IDENTITY FULL: several rows may have one key for a while, and their changes could not be told apart; {key}, or {full}"
            )),
            (Identity::None, _) => Some(format!(
                "{what} has no primary key that could serve as its replica identity, so the log would not tell which rows are updated or deleted; {full}, or {key}"
            )),
            (Identity::Key(_), Some(Identity::Full)) => Some(format!(
                "{what} has a key as its replica identity while the table has FULL, so the log would lack values of its old rows; {full}"
            )),
            (Identity::Key(own), Some(Identity::Key(wanted))) => {
                let lacking = wanted.iter().find(|column| !own.contains(column))?;
                Some(format!(
                    "the replica identity of {what} lacks column {lacking}, by which the rows of the table are told apart; {full}"
                ))
            }
            _ => None,
        }
    }
}

fn member(row: &TextRow) -> Result<(TableName, Member), WireError> {
    let missing = || WireError::protocol("a replica identity without its columns");
    let text = |place: usize| row.get(place).and_then(Option::as_deref);
    let char_at = |place: usize| text(place).and_then(|text| text.chars().next());
    let name = |place: usize| Some(TableName::new(text(place)?, text(place + 1)?));
    let columns = text(8).map(serde_json::from_str::<Vec<String>>);
    let columns = columns.transpose().map_err(|_| missing())?;
    let identity = match (char_at(7), columns) {
        (Some('f'), _) => Identity::Full,
        (_, Some(columns)) => Identity::Key(columns),
        (_, None) => Identity::None,
    };
    let member = Member {
        is_root: text(2) == Some("t"),
        name: name(3).ok_or_else(missing)?,
        kind: char_at(5).ok_or_else(missing)?,
        is_logged: char_at(6) == Some('p'),
        identity,
        generated: text(9).map(str::to_owned),
        no_full: match char_at(10) {
            None => None,
            Some('g') => Some(NoFull::Generated),
            Some('d') => Some(NoFull::Deferrable),
            Some(_) => return Err(missing()),
        },
    };
    Ok((name(0).ok_or_else(missing)?, member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(columns: &[&str]) -> Identity {
        Identity::Key(columns.iter().map(|column| (*column).to_owned()).collect())
    }

    fn refusal(root: Identity, partition: Identity) -> Option<String> {
        let member = |is_root, identity| Member {
            is_root,
            name: TableName::new("s", if is_root { "t" } else { "p" }),
            kind: if is_root { 'p' } else { 'r' },
            is_logged: true,
            identity,
            generated: None,
            no_full: None,
        };
        let name = TableName::new("s", "t");
        let members = vec![member(true, root), member(false, partition)];
        let identities = Identities([(name.clone(), members)].into());
        identities.refusal(&name).map(|fault| fault.message)
    }

    #[test]
    fn partitions_must_tell_what_their_table_promises() {
        assert_eq!(refusal(key(&["a"]), key(&["a"])), None);
        assert_eq!(refusal(key(&["a"]), key(&["b", "a"])), None);
        assert_eq!(refusal(key(&["a"]), Identity::Full), None);
        assert_eq!(refusal(Identity::Full, Identity::Full), None);
        for (root, partition, expected) in [
            (Identity::Full, key(&["a"]), "lack values"),
            (key(&["a", "b"]), key(&["a"]), "lacks column b"),
            (
                key(&["a"]),
                Identity::None,
                "its partition s.p has no primary key",
            ),
            (Identity::None, key(&["a"]), "it has no primary key"),
        ] {
            let message = refusal(root, partition).unwrap();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains("REPLICA IDENTITY FULL"), "{message}");
        }
    }
}
