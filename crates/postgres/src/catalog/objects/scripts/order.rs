//! The order in which views and routines can be made: each behind those that its text rests on.

use std::collections::{HashMap, HashSet};

use super::super::super::{flag, text};
use super::Scope;
use crate::wire::{Connection, TextRow, WireError};

/// A view or a routine: the name of its catalog, and its number there.
pub(super) type Key = (String, String);

/// What views and routines rest on. A row type counts as its table or view, an array as its elements.
const RESTS_ON: &str = "
select distinct case when r.oid is not null then 'pg_class' else 'pg_proc' end, coalesce(r.ev_class, d.objid),
  case when d.refclassid = 'pg_proc'::regclass then 'pg_proc' else 'pg_class' end,
  case when d.refclassid = 'pg_type'::regclass then coalesce(nullif(t.typrelid, 0), e.typrelid, 0) else d.refobjid end
from pg_depend d left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
left join pg_type t on d.refclassid = 'pg_type'::regclass and t.oid = d.refobjid left join pg_type e on e.oid = t.typelem
where d.classid in ('pg_rewrite'::regclass, 'pg_proc'::regclass) and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
  and d.objid >= 16384
union
select 'pg_proc', a.aggfnoid, 'pg_proc', f from pg_aggregate a, unnest(array[a.aggtransfn::oid, a.aggfinalfn, a.aggcombinefn]) f where a.aggfnoid >= 16384";

/// Composite types, which are made before.
const TYPES: &str = "select oid from pg_class where relkind = 'c'";

/// A catalog and a number in it, in two columns.
pub(super) fn key(row: &TextRow, at: usize) -> Result<Key, WireError> {
    Ok((text(row, at)?.to_owned(), text(row, at + 1)?.to_owned()))
}

/// Tables with row-level security: their owners, and whether it holds for these too.
const SECURED: &str =
    "select oid, pg_get_userbyid(relowner), relforcerowsecurity from pg_class where relrowsecurity";

pub(super) struct Order {
    rests_on: HashMap<Key, Vec<Key>>,
    types: HashSet<Key>,
    /// The roles that see all rows of tables with row-level security.
    secured: HashMap<Key, Option<String>>,
}

impl Order {
    pub(super) async fn read(
        connection: &mut Connection,
        scope: &Scope,
    ) -> Result<Self, WireError> {
        let mut rests_on: HashMap<Key, Vec<Key>> = HashMap::new();
        for row in scope.rows(connection, RESTS_ON).await? {
            let (key, on) = (key(&row, 0)?, key(&row, 2)?);
            if key != on && on.1 != "0" {
                rests_on.entry(key).or_default().push(on);
            }
        }
        let mut types = HashSet::new();
        for row in scope.rows(connection, TYPES).await? {
            types.insert(("pg_class".to_owned(), text(&row, 0)?.to_owned()));
        }
        let mut secured = HashMap::new();
        for row in scope.rows(connection, SECURED).await? {
            let owner = (!flag(&row, 2)?).then(|| text(&row, 1).map(str::to_owned));
            let key = ("pg_class".to_owned(), text(&row, 0)?.to_owned());
            secured.insert(key, owner.transpose()?);
        }
        Ok(Self {
            rests_on,
            types,
            secured,
        })
    }

    /// Whether policies decide what a role sees of a table.
    pub(super) fn is_secured_from(&self, table: &Key, role: &str) -> bool {
        let sees_all = self.secured.get(table);
        sees_all.is_some_and(|owner| owner.as_deref() != Some(role))
    }

    /// Everything that one rests on, at whatever remove, tables and views among it.
    pub(super) fn below(&self, key: &Key) -> HashSet<&Key> {
        let mut found = HashSet::new();
        let mut open: Vec<&Key> = self.rests_on.get(key).into_iter().flatten().collect();
        while let Some(next) = open.pop() {
            if !self.types.contains(next) && found.insert(next) {
                open.extend(self.rests_on.get(next).into_iter().flatten());
            }
        }
        found
    }

    /// The keys in an order in which each comes behind what it rests on. What rests on itself through others stays where it is.
    pub(super) fn sorted(&self, keys: &[Key]) -> Vec<Key> {
        let wanted: HashSet<&Key> = keys.iter().collect();
        let mut sorted = Vec::new();
        let mut seen = HashSet::new();
        for key in keys {
            self.visit(key, &wanted, &mut seen, &mut sorted);
        }
        sorted
    }

    /// Without recursion: views may stand on one another in thousands.
    fn visit<'k>(
        &'k self,
        key: &'k Key,
        wanted: &HashSet<&'k Key>,
        seen: &mut HashSet<&'k Key>,
        sorted: &mut Vec<Key>,
    ) {
        let mut open = vec![(key, false)];
        while let Some((key, is_done)) = open.pop() {
            if is_done {
                if wanted.contains(key) {
                    sorted.push(key.clone());
                }
                continue;
            }
            if !seen.insert(key) {
                continue;
            }
            open.push((key, true));
            let below = self.rests_on.get(key).into_iter().flatten();
            open.extend(
                below
                    .filter(|below| !seen.contains(below))
                    .map(|below| (below, false)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Key {
        ("pg_class".to_owned(), name.to_owned())
    }

    #[test]
    fn what_others_rest_on_comes_first() {
        let rests_on = [
            ("a", vec!["b", "c"]),
            ("b", vec!["c"]),
            ("d", vec!["e"]),
            ("e", vec!["d"]),
        ];
        let order = Order {
            rests_on: rests_on
                .into_iter()
                .map(|(name, on)| (named(name), on.into_iter().map(named).collect()))
                .collect(),
            types: HashSet::new(),
            secured: HashMap::new(),
        };
        let keys: Vec<Key> = ["a", "b", "c", "d", "e"].map(named).into();
        let sorted = order.sorted(&keys);
        assert_eq!(sorted[..3], [named("c"), named("b"), named("a")]);
        assert_eq!(sorted.len(), 5);
        assert_eq!(
            order.below(&named("a")),
            HashSet::from([&named("b"), &named("c")])
        );
    }
}
